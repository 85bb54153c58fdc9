"""`model_serving`: where the models run, and which they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, WithJsonSchema

from controlplane.compile.plans import Mode
from controlplane.config.files import FilePath
from controlplane.config.names import Name
from controlplane.config.quantities import QueueDelay, RoleTimeout
from controlplane.config.remote import Remote
from controlplane.config.section import Section
from extproc.shared.filter_config import Place
from extproc.shared.roles import CONFIGURABLE, ROLES, Role

_PLACE: Final = {"enum": [str(place) for place in Place]}
Backend = Annotated[
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
    """The gateway's own Triton. All but `repository` is for the models that read every prompt: embed, guard,
    toxicity, nli."""

    repository: FilePath | None = None
    """A Triton model repository of your own: a folder with `NAME/config.pbtxt` for each model."""
    instances: int | None = Field(default=None, ge=1, le=32)
    """How many processes compute each model. By default one for two cores, at most 4; on a GPU one."""
    threads: int = Field(default=1, ge=1, le=64)
    """How many threads each of them computes with."""
    max_batch_size: int = Field(default=64, ge=1, le=256)
    """How many texts one request may carry."""
    max_queue_delay: QueueDelay | None = None
    """How long a request may be held back for others to be computed with it, such as `500us`. Without it: not at all,
    and each by itself."""


class RoleServing(Section):
    """One role."""

    backend: Backend | None = None
    """`local`, `remote`, or both as a list: the first is preferred, the next stands in for it."""
    timeout: RoleTimeout | None = None
    """The deadline of one attempt."""
    model: Name | None = None
    """Which model: remotely the name that the server knows it by, by default that of the role; locally an entry of the
    catalogue, or a folder of `local.repository`."""


class Roles(Section):
    """What the gateway asks of models. The command line places each; what stands here goes first."""

    guard: RoleServing | None = None
    """How likely a text is an attack: what the guard `jailbreak` asks."""
    embed: RoleServing | None = None
    """What a text means, as a vector: what intents and arguments are compared by."""
    nli: RoleServing | None = None
    """How likely a prompt entails what a target is for: it joins the score of intents."""
    toxicity: RoleServing | None = None
    """How likely a text is abusive: what the guard `toxicity` asks."""
    function: RoleServing | None = None
    """Which target a conversation means, and with which arguments."""

    @property
    def given(self) -> Mapping[Role, RoleServing]:
        """The roles that the file names."""
        entries: dict[Role, RoleServing | None] = {role: getattr(self, role) for role in CONFIGURABLE}
        return {role: entry for role, entry in entries.items() if entry is not None}


class ModelServing(Section):
    """Where the models run, and which they are."""

    remote: Remote | None = None
    """A Triton that is somebody else's, reached through Envoy."""
    roles: Roles = Roles()
    """What the gateway asks of models. The command line places each; what stands here goes first."""
    local: LocalServing = LocalServing()
    """The gateway's own Triton."""

    def of(self, role: Role) -> RoleServing:
        """What the file says of a role, which may be nothing."""
        return self.roles.given.get(role, RoleServing())

    def places(self, role: Role, mode: Mode) -> tuple[Place, ...]:
        """Where a role's model is asked: the first is preferred."""
        by_mode = Place.REMOTE if mode is Mode.REMOTE and ROLES[role].is_remote_by_default else Place.LOCAL
        return self.of(role).backend or (by_mode,)

    def is_ever_local(self, role: Role) -> bool:
        return any(Place.LOCAL in self.places(role, mode) for mode in Mode)

    def is_always_local(self, role: Role) -> bool:
        """Whether a model here is needed, whatever the command says. Without a remote Triton, everything is local."""
        modes = [mode for mode in Mode if mode is not Mode.REMOTE or self.remote is not None]
        return all(Place.LOCAL in self.places(role, mode) for mode in modes)
