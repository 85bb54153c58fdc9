"""`model_serving`: the models, and the Triton servers that run them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, WithJsonSchema

from controlplane.config.base_model import Section
from controlplane.config.file_paths import FilePath
from controlplane.config.names import Name
from controlplane.config.quantities import QueueDelay, RoleTimeout
from controlplane.config.remote_triton import Remote
from extproc.shared.filter_config import Place
from extproc.shared.roles import CONFIGURABLE, ROLES, Role


class Mode(StrEnum):
    """Default location of models, chosen on the command line. `model_serving.roles` may override it for a role."""

    LOCAL_CPU = "local-cpu"
    LOCAL_GPU = "local-gpu"
    REMOTE = "remote"


_PLACE: Final = {"enum": [str(place) for place in Place]}
Placement = Annotated[
    tuple[Place, ...],
    Field(max_length=len(Place)),
    WithJsonSchema(
        {
            "anyOf": [
                _PLACE,
                {"type": "array", "items": _PLACE, "minItems": 1, "maxItems": len(Place), "uniqueItems": True},
            ]
        }
    ),
]


class LocalServing(Section):
    """The gateway's own Triton. All keys but `repository` are for the models that read every prompt: embed, guard,
    toxicity, nli."""

    repository: FilePath | None = None
    """A Triton model repository of your own: a folder with `NAME/config.pbtxt` for each model."""
    instances: int | None = Field(default=None, ge=1, le=32)
    """Number of processes of each model. By default one for two cores, at most 4; on a GPU one."""
    threads: int = Field(default=1, ge=1, le=64)
    """Number of threads of each process."""
    max_batch_size: int = Field(default=64, ge=1, le=256)
    """Maximum number of texts in one request."""
    max_queue_delay: QueueDelay | None = None
    """Maximum time that a request waits for others to be computed with it, such as `500us`. Without it, requests do not
    wait, and each is computed by itself."""


class RoleServing(Section):
    """One role."""

    placement: Placement | None = None
    """`local`, `remote`, or both as a list: the first is preferred, the next is the fallback."""
    timeout: RoleTimeout | None = None
    """Deadline of one attempt."""
    model: Name | None = None
    """Name of the model. Remote: its name on the server, by default that of the role. Local: an entry of the catalogue,
    or a folder of `local.repository`."""


class Roles(Section):
    """Tasks that need a model. The command line decides where each runs; settings here take precedence."""

    guard: RoleServing | None = None
    """Probability that a text is an attack, for the guard `jailbreak`."""
    embed: RoleServing | None = None
    """Embedding of a text, to compare intents and arguments."""
    nli: RoleServing | None = None
    """Probability that a prompt entails a target's description: a part of the intent score."""
    toxicity: RoleServing | None = None
    """Probability that a text is abusive, for the guard `toxicity`."""
    function: RoleServing | None = None
    """The target that a conversation asks for, and its arguments."""

    @property
    def configured(self) -> Mapping[Role, RoleServing]:
        """The configured roles."""
        entries: dict[Role, RoleServing | None] = {role: getattr(self, role) for role in CONFIGURABLE}
        return {role: entry for role, entry in entries.items() if entry is not None}


class ModelServing(Section):
    """The models, and the Triton servers that run them."""

    remote: Remote | None = None
    """A Triton server that archgw does not run, reached through Envoy."""
    roles: Roles = Roles()
    """Tasks that need a model. The command line decides where each runs; settings here take precedence."""
    local: LocalServing = LocalServing()
    """The gateway's own Triton."""

    def role_settings(self, role: Role) -> RoleServing:
        """Returns the settings of a role; the defaults if the file has none."""
        return self.roles.configured.get(role, RoleServing())

    def places(self, role: Role, mode: Mode) -> tuple[Place, ...]:
        """Returns the places that run a role's model, the preferred one first."""
        by_mode = Place.REMOTE if mode is Mode.REMOTE and ROLES[role].is_remote_by_default else Place.LOCAL
        return self.role_settings(role).placement or (by_mode,)

    def is_ever_local(self, role: Role) -> bool:
        return any(Place.LOCAL in self.places(role, mode) for mode in Mode)

    def is_always_local(self, role: Role) -> bool:
        """Returns whether the role needs a local model in every mode. Without a remote Triton, all roles do."""
        modes = [mode for mode in Mode if mode is not Mode.REMOTE or self.remote is not None]
        return all(Place.LOCAL in self.places(role, mode) for mode in modes)
