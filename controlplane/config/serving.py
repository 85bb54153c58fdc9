"""`model_serving`: models of the user's own, beside those that the gateway brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema

from controlplane.config.names import Name
from controlplane.config.section import Section, refusal

_LONGEST: Final = 4096


def parse_folder(value: object) -> str:
    """A path as it is; messages quote it, so it holds nothing that a terminal would obey."""
    if not isinstance(value, str):
        raise refusal("expected a folder, relative to this file", "put it in quotes if it is meant as text")
    if not 1 <= len(value) <= _LONGEST or not value.isprintable():
        raise refusal("the path is empty, too long, or holds control characters")
    return value


Folder = Annotated[str, PlainValidator(parse_folder), WithJsonSchema({"type": "string", "minLength": 1})]


class LocalServing(Section):
    """The gateway's own Triton."""

    repository: Folder
    """A Triton model repository: a folder, relative to this file, with `NAME/config.pbtxt` for each model."""


class RoleModel(Section):
    """Which model serves a role."""

    model: Name
    """A folder of `local.repository`."""


class Roles(Section):
    """What the gateway asks of models of your own."""

    nli: RoleModel | None = None
    """How likely a prompt entails what a target is for: it joins the score of intents."""
    toxicity: RoleModel | None = None
    """How likely a text is abusive: what the guard `toxicity` asks."""

    @property
    def named(self) -> Mapping[str, str]:
        """The model of each role that has one."""
        given = {"nli": self.nli, "toxicity": self.toxicity}
        return {role: entry.model for role, entry in given.items() if entry is not None}


class ModelServing(Section):
    """Models of the user's own."""

    local: LocalServing | None = None
    """The gateway's own Triton."""
    roles: Roles = Roles()
    """What the gateway asks of models of your own."""
