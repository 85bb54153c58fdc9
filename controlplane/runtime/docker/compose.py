"""A gateway compiled for containers -> compose.yaml, and every file that a container reads.

Called by `archgw up` and `archgw render`. The paths in the files are those inside: `site.INSIDE` is their root. Files
of this machine that Envoy reads, certificates and their keys, are copied among them, so that each belongs to the user
of the containers and none of a system folder is mounted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from controlplane.compile.model_plan import artefacts
from controlplane.compile.plans import Device, Gateway, ModelPlan, Pipe, RemoteTriton
from controlplane.errors import RenderError
from controlplane.models import cache
from controlplane.models.catalog import CATALOG_VARIABLE, catalog, user_catalog
from controlplane.render.files import READABLE, SECRET, File, Rendered, render
from controlplane.render.model_repository import FRONTS
from controlplane.render.templates import fill
from controlplane.runtime.commands import (
    TRITON,
    envoy_arguments,
    triton_arguments,
    worker_arguments,
    worker_name,
)
from controlplane.runtime.docker.images import Images, Variant
from controlplane.runtime.docker.site import INSIDE
from controlplane.runtime.native.environment import THREADS
from controlplane.runtime.wanted import SAMPLE_API_PORT

# The volume of the models that come from packages, as Triton and the one-shot that fills it see it.
MODELS_FOLDER: Final = Path("/var/lib/archgw/models")

_TRUSTED: Final = "tls/ca.crt"
_CATALOG: Final = "catalog.yaml"
_EVERY: Final = "0.0.0.0"  # noqa: S104 - of a network of containers

# The volume of its sockets outlives a container, and Triton does not start where one is left.
_FRESH: Final = ("sh", "-c", 'rm -f "$0"/* && exec "$@"', str(INSIDE.triton_sockets))
_ASK: Final = ("CMD", "curl", "-fsS", "--max-time", "5")

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
_ENVIRONMENT: Final = {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **THREADS}
# CUDA counts the fastest first, unlike NVML and everybody who names a device. Libraries cache below $HOME.
_TRITON_ENVIRONMENT: Final = {**_ENVIRONMENT, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "HOME": "/tmp"}  # noqa: S108
# vLLM's processes talk to each other over the loopback: without a network, there is no other address to be found.
_VLLM_ENVIRONMENT: Final = {"VLLM_HOST_IP": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Inside:
    """What the containers are told beyond what is compiled.

    `user`: the uid and gid of every process, and of the files. `salt`: keys the digests, 64 bytes at most. `trusted`: a
    bundle of certificate authorities of this machine. `gpus`: which of the machine's, as Docker names them; none: all.
    """

    project: str
    user: tuple[int, int]
    images: Images
    salt: bytes
    trusted: Path
    quick_start: bool = False
    gpus: tuple[str, ...] = ()


def render_compose(gateway: Gateway, inside: Inside) -> Rendered:
    """Every file, by its path under the run directory.

    RenderError where a file that a container needs cannot be read.
    """
    rendered = render_inside(gateway, inside.trusted)
    text = fill("compose.yaml.j2", _values(gateway, inside, rendered), spaced=True)
    return Rendered({**rendered.files, "compose.yaml": File(text)}, rendered.links)


def render_inside(gateway: Gateway, trusted: Path) -> Rendered:
    """What the containers read, without the file that makes them. RenderError as above."""
    inner = replace(gateway, envoy=replace(gateway.envoy, remote=gateway.envoy.remote and _moved(gateway.envoy.remote)))
    rendered = render(inner, INSIDE, trusted=INSIDE.root / _TRUSTED, prepared=MODELS_FOLDER)
    return Rendered({**rendered.files, **dict(_copied(copies(gateway, trusted)))}, rendered.links)


def here(gateway: Gateway, trusted: Path) -> Mapping[str, Path]:
    """Where files lie on this machine, by the path that Envoy's configuration has for them: it can be checked here."""
    return {str(INSIDE.root / name): path for name, path in copies(gateway, trusted).items()}


def copies(gateway: Gateway, trusted: Path) -> Mapping[str, Path]:
    """Files of this machine by the path that they have under the run directory."""
    remote = gateway.envoy.remote
    found = {_TRUSTED: trusted}
    catalogue = user_catalog()
    if catalogue is not None and _prepared(gateway.models):
        found[_CATALOG] = catalogue
    if remote is not None:
        found |= {name: path for name, path in _tls(remote).items() if path is not None}
    return found


def variant(plan: ModelPlan) -> Variant:
    """Which of Triton's images serves the models of `plan`."""
    if any(model.behind is not None for model in plan.models):
        return Variant.VLLM
    on_gpu = any(model.device is Device.GPU for model in plan.models) or any(model.on_gpu for model in plan.custom)
    return Variant.GPU if on_gpu else Variant.CPU


def _tls(remote: RemoteTriton) -> Mapping[str, Path | None]:
    name = remote.upstream.cluster
    return {f"tls/{name}.ca.crt": remote.ca, f"tls/{name}.crt": remote.cert, f"secrets/{name}.key": remote.key}


def _moved(remote: RemoteTriton) -> RemoteTriton:
    ca, cert, key = (path and INSIDE.root / name for name, path in _tls(remote).items())
    return replace(remote, ca=ca, cert=cert, key=key)


def _copied(found: Mapping[str, Path]) -> Iterator[tuple[str, File]]:
    for name, path in found.items():
        try:
            # PEM is ASCII; only the comments of some bundles are not.
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise RenderError(f"{path}, which a container needs, cannot be read: {error.strerror}") from error
        yield name, File(text, SECRET if name.startswith("secrets/") else READABLE)


@dataclass(frozen=True, slots=True)
class _Secret:
    name: str
    file: str
    target: Path


@dataclass(frozen=True, slots=True)
class _Worker:
    name: str
    command: tuple[str, ...]
    socket: Path


@dataclass(frozen=True, slots=True)
class _Triton:
    """`folders`: of this machine, with models that are read where they lie. `devices`: none for all.

    `asked_by_envoy`: a provider is a chat model of this Triton.
    """

    command: tuple[str, ...]
    health: tuple[str, ...]
    environment: Mapping[str, str]
    folders: tuple[Path, ...]
    gpu: bool
    asked_by_envoy: bool
    devices: tuple[str, ...]
    memory: str
    shared_memory: str


@dataclass(frozen=True, slots=True)
class _SampleApi:
    command: tuple[str, ...]
    check: str


def _values(gateway: Gateway, inside: Inside, rendered: Rendered) -> dict[str, object]:
    plan = gateway.models
    prepared = _prepared(plan)
    uid, gid = inside.user
    return {
        "project": inside.project,
        "user": f"{uid}:{gid}",
        "images": inside.images,
        "layout": INSIDE,
        "gateway": gateway,
        "environment": _ENVIRONMENT,
        "envoy": envoy_arguments(gateway.envoy, INSIDE),
        "workers": [_worker(gateway, index) for index in gateway.envoy.worker_indices],
        "triton": _triton(gateway, inside.gpus) if plan.names else None,
        "prepared": ("archgw", "models", "prepare", *prepared) if prepared else None,
        "catalogue": _CATALOG in rendered.files,
        "models_environment": _models_environment(rendered),
        "quick_start": _sample_api() if inside.quick_start else None,
        "models_folder": MODELS_FOLDER,
        "secrets": [_secret(name) for name in rendered.files if name.startswith("secrets/")],
        "sockets_options": f"uid={uid},gid={gid},mode=0700",
        # Docker counts the current file as well.
        "log_size": str(gateway.logs.max_bytes),
        "log_files": str(gateway.logs.files + 1),
        "digests": _digests(rendered, inside.salt, folders_of(plan)),
    }


def _models_environment(rendered: Rendered) -> dict[str, str]:
    more = {CATALOG_VARIABLE: str(INSIDE.root / _CATALOG)} if _CATALOG in rendered.files else {}
    return {**_ENVIRONMENT, "ARCHGW_CACHE_DIR": str(MODELS_FOLDER.parent), "HOME": "/tmp", **more}  # noqa: S108


def _worker(gateway: Gateway, index: int) -> _Worker:
    command = ("python", *worker_arguments(gateway.envoy, INSIDE, index))
    return _Worker(worker_name(index), command, INSIDE.worker_socket(index))


def _sample_api() -> _SampleApi:
    port = str(SAMPLE_API_PORT)
    return _SampleApi(
        command=("python", "-P", "-m", "controlplane.runtime.docker.sample_api", "--host", _EVERY, "--port", port),
        check=f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    )


def _secret(name: str) -> _Secret:
    """Compose wants a name of letters, digits, `_`, `-` and `.`, which here stands for the `%` of the file's name."""
    path = Path(name)
    stem = path.stem.replace(".", "%2E").replace("%", ".")
    return _Secret(f"{stem}{path.suffix}", f"./{name}", INSIDE.root / name)


def _triton(gateway: Gateway, gpus: tuple[str, ...]) -> _Triton:
    plan = gateway.models
    upstreams = (provider.upstream for provider in gateway.envoy.providers)
    folders = folders_of(plan)
    on_gpu = variant(plan) is not Variant.CPU
    # Of the models that a package brings, the largest takes some 300 MB a process; of others, the size of the files
    # says what may be read into memory, and copied once.
    memory = 2 * _GIB + _processes(plan) * _GIB + 2 * sum(map(_size, folders)) + (8 * _GIB if on_gpu else 0)
    shared = 128 * _MIB + _processes(plan) * 64 * _MIB + (_GIB if on_gpu else 0)
    return _Triton(
        command=(*_FRESH, "tritonserver", *triton_arguments(plan, INSIDE)),
        health=(*_ASK, "--unix-socket", str(INSIDE.triton_http), "http://triton/v2/health/ready"),
        environment=_TRITON_ENVIRONMENT | (_VLLM_ENVIRONMENT if variant(plan) is Variant.VLLM else {}),
        folders=_mounts(folders),
        gpu=on_gpu,
        asked_by_envoy=any(isinstance(each, Pipe) for upstream in upstreams for each in upstream.addresses),
        devices=gpus,
        memory=f"{memory // _MIB}m",
        shared_memory=f"{shared // _MIB}m",
    )


def _processes(plan: ModelPlan) -> int:
    """Of models, at least."""
    return sum(model.instances + (FRONTS if model.behind else 0) for model in plan.models) + 4 * len(plan.custom)


def _prepared(plan: ModelPlan) -> tuple[str, ...]:
    """Catalogue entries that come from packages, which the volume must hold."""
    return tuple(name for name in _artefacts(plan) if catalog().artefacts[name].package is not None)


def folders_of(plan: ModelPlan) -> tuple[Path, ...]:
    """Of this machine: models of a hub, of a folder, and of the user's own."""
    known = catalog().artefacts
    pulled = (cache.folder(name, known[name]) for name in _artefacts(plan) if known[name].package is None)
    return tuple(dict.fromkeys((*pulled, *(custom.folder for custom in plan.custom))))


def _artefacts(plan: ModelPlan) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for model in plan.models for name in artefacts(model)))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _mounts(folders: Iterable[Path]) -> tuple[Path, ...]:
    """`folders`, and whatever links in them lead to elsewhere: a hub's own cache keeps the files beside the model."""
    found = dict.fromkeys(folders)
    for folder in tuple(found):
        for link in (path for path in _files(folder) if path.is_symlink()):
            target = Path(os.path.normpath(link.parent / link.readlink()))
            if not any(target.is_relative_to(each) for each in found):
                found[target] = None
    return tuple(found)


def _digests(rendered: Rendered, salt: bytes, folders: Iterable[Path]) -> Mapping[str, str]:
    """For each service that reads files, a keyed digest of what they say."""

    def texts(*names: str) -> Iterator[str]:
        for name, file in sorted(rendered.files.items()):
            if name.startswith(names):
                yield from (name, oct(file.mode), file.text)

    links = (text for name, target in sorted(rendered.links.items()) for text in (name, str(target)))
    # Of files that may be large, when they were written.
    models = (f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for each in folders for path in _files(each))
    return {
        "envoy": _digest(salt, texts("envoy/", "secrets/", "tls/")),
        "extproc": _digest(salt, texts("filter.json")),
        TRITON: _digest(salt, (*texts("models/"), *links, *models)),
        "models": _digest(salt, texts(_CATALOG)),
    }


def _digest(salt: bytes, texts: Iterable[str]) -> str:
    digest = hashlib.blake2b(key=salt, digest_size=16)
    for text in texts:
        # With its length, so that no two lists of texts are the same bytes.
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8) + encoded)
    return digest.hexdigest()
