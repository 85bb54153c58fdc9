"""The model catalogue, triton_models/catalog.yaml, as typed values.

Read by prepare.py, hub.py, repository.py, by the compiler for the names that a configuration may say, and by `archgw
models`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from controlplane.assets import asset
from controlplane.errors import ModelError
from extproc.shared.roles import ROLES, Role

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Converter = Literal["copy", "minilm", "minilm-fp16", "nanoguard", "nanoguard-fp16", "nanoguard-tokenizer"]
Engine = Literal["onnxruntime", "libneedle3", "llama.cpp", "vllm", "transformers"]
# Names the file with what a user adds to the catalogue.
ADDED = "ARCHGW_CATALOG"
# A text in the file, so that it is not held to be a `Role` already.
Served = Annotated[Role, Field(strict=False)]
# A name becomes a folder, and is what the configuration may say.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
# The only device of an engine that does not compute on both.
_DEVICES: Mapping[Engine, str] = {"libneedle3": "cpu", "llama.cpp": "cpu", "vllm": "gpu"}


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


class Hub(_Strict):
    """A repository on a model hub. `revision`: a commit, a tag or a branch."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: str


class Listed(_Strict):
    """A file of a repository or a folder, under the same path in the cache.

    `path` may be a pattern (`*.safetensors`) where the repository decides how many files there are. Without `sha256`,
    the hash that the hub declares is checked, and recorded.
    """

    path: str
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or str(path) != self.path:
            raise ValueError(f"{self.path!r} is not a path below the model's folder")
        if self.is_pattern and self.sha256 is not None:
            raise ValueError(f"{self.path!r} stands for several files, so it has no one SHA-256")
        return self

    @property
    def is_pattern(self) -> bool:
        return any(character in self.path for character in "*?[")

    def names(self, path: str) -> bool:
        """Whether this entry means `path`. A `*` does not reach into folders."""
        return path.count("/") == self.path.count("/") and fnmatchcase(path, self.path)


class Artefact(_Strict):
    """A model as it lies on disk: one folder, filled from exactly one source.

    From a `package`, with the files of `make`; from a `hub` or a folder of this machine (`path`), with those of
    `files`.

    `serves`: the role whose `model` a configuration may name it for. `devices`: what it computes on; `cpu` is the entry
    that stands in for it where there is no GPU, `gpu` the form of it that a GPU is given. `max_tokens`: how much of a
    text it reads; None where it has no such limit. `settings` become parameters of the Triton model that serves it.
    """

    description: str
    engine: Engine
    licence: str
    devices: Annotated[list[Literal["cpu", "gpu"]], Field(min_length=1)]
    serves: Served | None = None
    cpu: str | None = None
    gpu: str | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    settings: dict[str, str] = {}
    package: Package | None = None
    take: list[Taken] = []
    make: list[Made] = []
    hub: Hub | None = None
    path: str | None = None
    files: list[Listed] = []
    notes: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.package, self.hub, self.path)) != 1:
            raise ValueError("a model has one source: package, hub or path")
        if self.package is not None and (self.files or not self.make):
            raise ValueError("what comes from a package is listed under take and make")
        if self.package is None and (self.take or self.make or not self.files):
            raise ValueError("what comes from a hub or a folder is listed under files")
        if self.path is not None and any(file.is_pattern for file in self.files):
            raise ValueError("the files of a folder are named one by one")
        if self.path is not None and not Path(self.path).expanduser().is_absolute():
            raise ValueError(f"{self.path!r} depends on where archgw is started; write the whole path")
        return self

    @model_validator(mode="after")
    def _sources_are_taken(self) -> Self:
        taken = {entry.path for entry in self.take}
        for made in self.make:
            if made.of not in taken:
                raise ValueError(f"{made.file} is made of {made.of}, which is not taken from the package")
        return self

    @model_validator(mode="after")
    def _can_be_served(self) -> Self:
        if self.serves is not None and self.engine not in (engines := ROLES[self.serves].engines):
            raise ValueError(f"{self.serves} is served by {' or '.join(sorted(engines))} alone")
        only = _DEVICES.get(self.engine)
        if only is not None and set(self.devices) != {only}:
            raise ValueError(f"{self.engine} computes on a {only.upper()} alone: write devices: [{only}]")
        return self

    @property
    def kind(self) -> Literal["package", "hub", "path"]:
        """What sort of source it has."""
        return "package" if self.package is not None else "hub" if self.hub is not None else "path"

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        if self.package is not None:
            return f"{self.package.name}=={self.package.version}"
        if self.hub is not None:
            return f"{self.hub.repository}@{self.hub.revision}"
        return str(self.path)


class _More(_Strict):
    """What a user adds to the catalogue."""

    artefacts: dict[Name, Artefact]


class Catalog(_Strict):
    """Every role's default artefacts, and every artefact."""

    roles: dict[str, list[str]]
    artefacts: dict[Name, Artefact]

    @model_validator(mode="after")
    def _roles_are_served(self) -> Self:
        for role, names in self.roles.items():
            for name in names:
                if name not in self.artefacts:
                    raise ValueError(f"role {role} names the unknown artefact {name}")
        return self

    @model_validator(mode="after")
    def _stand_ins_exist(self) -> Self:
        for name, artefact in self.artefacts.items():
            if artefact.cpu is None:
                continue
            other = self.artefacts.get(artefact.cpu)
            if other is None or "cpu" not in other.devices or other.serves != artefact.serves:
                raise ValueError(f"{artefact.cpu} cannot stand in for {name} on a CPU")
        for name, artefact in self.artefacts.items():
            if artefact.gpu is not None and "gpu" not in getattr(self.artefacts.get(artefact.gpu), "devices", ()):
                raise ValueError(f"{artefact.gpu} cannot be the form of {name} for a GPU")
        return self

    def default(self, role: str) -> tuple[str, ...]:
        """What serves `role` where the configuration names no model; empty where nothing does."""
        return tuple(self.roles.get(role, ()))

    def choices(self, role: str) -> tuple[str, ...]:
        """The names that the configuration may say for `role`."""
        return tuple(name for name, artefact in self.artefacts.items() if artefact.serves == role)

    def made_of(self, role: str, name: str | None, *, gpu: bool) -> tuple[str, ...]:
        """The entries whose files a model of `role` reads: the named one or the role's own, in the device's form."""
        names = self.default(role) if name is None else (name,)
        return tuple((gpu and self.artefacts[each].gpu) or each for each in names)

    def select(self, names: tuple[str, ...] | None) -> dict[str, Artefact]:
        """The artefacts that `names` (roles or artefacts) need, in the catalogue's order.

        None: what all roles are made of by default. Raises ModelError for a name that is neither.
        """
        wanted: set[str] = set()
        for name in self.roles if names is None else names:
            if name in self.roles:
                wanted.update(self.roles[name])
            elif name in self.artefacts:
                wanted.add(name)
            else:
                known = ", ".join([*self.roles, *(key for key in self.artefacts if key not in self.roles)])
                raise ModelError(f"no model {name!r} in the catalogue; there are: {known}")
        return {name: artefact for name, artefact in self.artefacts.items() if name in wanted}


def parse(text: str, more: str | None = None) -> Catalog:
    """The catalogue in `text`, with the artefacts that `more` adds to it; ModelError says what is wrong with it."""
    try:
        document = yaml.safe_load(text)
        if more is not None:
            added = _More.model_validate(yaml.safe_load(more)).artefacts
            if taken := sorted(added.keys() & {*document["artefacts"], *Role}):
                raise ModelError(f"names that are in the catalogue already: {', '.join(taken)}")
            document["artefacts"].update({name: artefact.model_dump() for name, artefact in added.items()})
        return Catalog.model_validate(document)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()
        ]
        raise ModelError("\n    ".join(["the model catalogue is not valid:", *faults])) from error
    # Of dates that are none, of homes of nobody, and of lists in lists in lists.
    except (yaml.YAMLError, ValueError, RuntimeError) as error:
        raise ModelError(f"the model catalogue is not valid: {error}") from error


def catalog() -> Catalog:
    """The catalogue that travels with this version, and the user's own entries: the file that $ARCHGW_CATALOG names."""
    return _read(os.environ.get(ADDED) or None)


def added() -> Path | None:
    """The file that $ARCHGW_CATALOG names; None where it names none."""
    name = os.environ.get(ADDED)
    return Path(name).expanduser() if name else None


@cache
def _read(more: str | None) -> Catalog:
    text = (asset("triton_models") / "catalog.yaml").read_text(encoding="utf-8")
    if more is None:
        return parse(text)
    try:
        added = Path(more).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise ModelError(f"{ADDED}={more} cannot be read: {error}") from error
    try:
        return parse(text, added)
    except ModelError as error:
        raise ModelError(f"{ADDED}={more}: {error}") from error
