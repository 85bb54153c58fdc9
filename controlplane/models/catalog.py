"""The model catalogue, triton_models/catalog.yaml, as typed values.

Used by the other modules of this package, the configuration, the compiler, the renderer, and `archgw models`.
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
from extproc.shared.scripts import Script

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Converter = Literal[
    "copy",
    "minilm",
    "minilm-fp16",
    "minilm-intent",
    "minilm-intent-fp16",
    "minilm-guard",
    "minilm-guard-fp16",
]
Engine = Literal["onnxruntime", "libneedle3", "llama.cpp", "vllm", "transformers"]
# Environment variable with the path of the user's own catalogue.
CATALOG_VARIABLE = "ARCHGW_CATALOG"
# Not strict, because in the file a role is a string.
Served = Annotated[Role, Field(strict=False)]
Readable = Annotated[Script, Field(strict=False)]
# Names become folders, and the configuration refers to them.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
# Engines that compute on one device only, and that device.
_DEVICES: Mapping[Engine, str] = {"libneedle3": "cpu", "llama.cpp": "cpu", "vllm": "gpu"}


class Strict(BaseModel):
    """Base model: no unknown keys, frozen, strict types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Package(Strict):
    """One wheel on the package index."""

    name: str
    version: str
    sha256: Sha256


class WheelFile(Strict):
    """A file inside the wheel."""

    path: str
    sha256: Sha256


class ConvertedFile(Strict):
    """A file of the cache. `by`: the converter. `of`: the wheel's file that it reads."""

    file: str
    by: Converter
    of: str
    sha256: Sha256

    @model_validator(mode="after")
    def _plain_name(self) -> Self:
        if PurePosixPath(self.file).name != self.file:
            raise ValueError(f"{self.file!r} is not a plain file name")
        return self


class Hub(Strict):
    """A repository on a model hub. `revision`: a commit, a tag or a branch."""

    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: str


class SourceFile(Strict):
    """A file of a repository or a folder. It has the same path in the cache.

    `path` may be a pattern, such as `*.safetensors`, that matches several files of the repository. Without `sha256`,
    the hash that the hub declares is checked and recorded.
    """

    path: str
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or str(path) != self.path:
            raise ValueError(f"{self.path!r} is not a path below the model's folder")
        if self.is_pattern and self.sha256 is not None:
            raise ValueError(f"{self.path!r} may match several files: it cannot have a sha256")
        return self

    @property
    def is_pattern(self) -> bool:
        return any(character in self.path for character in "*?[")

    def names(self, path: str) -> bool:
        """Returns whether this entry matches `path`. A `*` does not match across folders."""
        return path.count("/") == self.path.count("/") and fnmatchcase(path, self.path)


class Artefact(Strict):
    """A model's files in one folder, from exactly one source.

    The source is a `package` (its files: `take` and `make`), a `hub`, or a local folder `path` (their files: `files`).

    `serves`: the role that may name this model in the configuration. `devices`: supported devices. `cpu`: the entry
    that replaces it without a GPU. `gpu`: the entry that replaces it on a GPU. `max_tokens`: maximum length of a text;
    None: no limit. `scripts`: the scripts that a model of a guard reads; empty: all. `settings`: parameters of its
    Triton model.
    """

    description: str
    engine: Engine
    licence: str
    devices: Annotated[list[Literal["cpu", "gpu"]], Field(min_length=1)]
    serves: Served | None = None
    cpu: str | None = None
    gpu: str | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    scripts: list[Readable] = []
    settings: dict[str, str] = {}
    package: Package | None = None
    take: list[WheelFile] = []
    make: list[ConvertedFile] = []
    hub: Hub | None = None
    path: str | None = None
    files: list[SourceFile] = []
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
        """The kind of source."""
        return "package" if self.package is not None else "hub" if self.hub is not None else "path"

    @property
    def source(self) -> str:
        """The source as text, for messages and listings."""
        if self.package is not None:
            return f"{self.package.name}=={self.package.version}"
        if self.hub is not None:
            return f"{self.hub.repository}@{self.hub.revision}"
        return str(self.path)


class _UserCatalog(Strict):
    """The user's own catalogue: entries that are added to ours."""

    artefacts: dict[Name, Artefact]


class Catalog(Strict):
    """All artefacts, and the default artefacts of each role."""

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
        """Returns the artefacts that serve `role` by default; empty if the gateway has none for it."""
        return tuple(self.roles.get(role, ()))

    def choices(self, role: str) -> tuple[str, ...]:
        """Returns the names that the configuration may use for `role`."""
        return tuple(name for name, artefact in self.artefacts.items() if artefact.serves == role)

    def made_of(self, role: str, name: str | None, *, gpu: bool) -> tuple[str, ...]:
        """Returns the entries whose files a model of `role` reads. `name` None: the role's default ones."""
        names = self.default(role) if name is None else (name,)
        return tuple((gpu and self.artefacts[each].gpu) or each for each in names)

    def scripts(self, role: str, name: str | None, *, gpu: bool) -> tuple[Script, ...]:
        """Returns the scripts that all models of `made_of` read; empty: all scripts."""
        limits = [self.artefacts[each].scripts for each in self.made_of(role, name, gpu=gpu)]
        limited = [scripts for scripts in limits if scripts]
        return tuple(script for script in Script if limited and all(script in scripts for scripts in limited))

    def select(self, names: tuple[str, ...] | None) -> dict[str, Artefact]:
        """Returns the artefacts of `names` (roles or artefacts), in the catalogue's order.

        None: the default artefacts of all roles. Raises ModelError for an unknown name.
        """
        selected: set[str] = set()
        for name in self.roles if names is None else names:
            if name in self.roles:
                selected.update(self.roles[name])
            elif name in self.artefacts:
                selected.add(name)
            else:
                known = ", ".join([*self.roles, *(key for key in self.artefacts if key not in self.roles)])
                raise ModelError(f"no model {name!r} in the catalogue; there are: {known}")
        return {name: artefact for name, artefact in self.artefacts.items() if name in selected}


def parse(text: str, more: str | None = None) -> Catalog:
    """Parses the catalogue `text`, and adds the artefacts of the user's catalogue `more`. Raises ModelError."""
    try:
        document = yaml.safe_load(text)
        if more is not None:
            added = _UserCatalog.model_validate(yaml.safe_load(more)).artefacts
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
    # ValueError: an invalid date. RuntimeError: a home of an unknown user. RecursionError: deeply nested lists.
    except (yaml.YAMLError, ValueError, RuntimeError) as error:
        raise ModelError(f"the model catalogue is not valid: {error}") from error


def catalog() -> Catalog:
    """Returns the catalogue of this version, with the entries of the file that $ARCHGW_CATALOG names."""
    return _read(os.environ.get(CATALOG_VARIABLE) or None)


def user_catalog() -> Path | None:
    """Returns the path in $ARCHGW_CATALOG, or None."""
    name = os.environ.get(CATALOG_VARIABLE)
    return Path(name).expanduser() if name else None


@cache
def _read(more: str | None) -> Catalog:
    text = (asset("triton_models") / "catalog.yaml").read_text(encoding="utf-8")
    if more is None:
        return parse(text)
    try:
        added = Path(more).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        raise ModelError(f"{CATALOG_VARIABLE}={more} cannot be read: {error}") from error
    try:
        return parse(text, added)
    except ModelError as error:
        raise ModelError(f"{CATALOG_VARIABLE}={more}: {error}") from error
