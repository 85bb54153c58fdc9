"""`model_serving`: models of the user's own, beside those that the gateway brings."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from controlplane.config.names import Name
from controlplane.config.section import Section


class LocalServing(Section):
    """The gateway's own Triton."""

    repository: str = Field(min_length=1, max_length=4096)
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
