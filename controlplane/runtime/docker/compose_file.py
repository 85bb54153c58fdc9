"""Renders a gateway for containers: compose.yaml, and all files that the containers read. Pure but for reading files.

Called by `archgw up` and `archgw render`. Paths in the files are those in the containers, below `CONTAINER_LAYOUT`.
Certificates and keys of this machine that Envoy reads are copied, so that the containers' user owns them and no system
folder is mounted.
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
from controlplane.render.gateway_files import render
from controlplane.render.model_repository import FRONTS
from controlplane.render.rendered_files import READABLE, SECRET, RenderedFile, RenderedFiles
from controlplane.render.templates import render_template
from controlplane.runtime.command_lines import (
    TRITON,
    envoy_arguments,
    triton_arguments,
    worker_arguments,
    worker_name,
)
from controlplane.runtime.docker.container_environment import CONTAINER_LAYOUT
from controlplane.runtime.docker.images import Images, Variant
from controlplane.runtime.native.environment_variables import THREADS
from controlplane.runtime.start_options import SAMPLE_API_PORT

# Mount point of the volume with the models from packages, in Triton's container and in the one that fills the volume.
MODELS_FOLDER: Final = Path("/var/lib/archgw/models")

_CA_FILE: Final = "tls/ca.crt"
_CATALOG: Final = "catalog.yaml"
_WILDCARD: Final = "0.0.0.0"  # noqa: S104 - in the containers' network

# The volume of sockets outlives a container, and Triton does not start if one of its sockets exists.
_REMOVE_SOCKETS: Final = ("sh", "-c", 'rm -f "$0"/* && exec "$@"', str(CONTAINER_LAYOUT.triton_sockets))
_CURL: Final = ("CMD", "curl", "-fsS", "--max-time", "5")

_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
_ENVIRONMENT: Final = {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", **THREADS}
# By default CUDA numbers the fastest GPU first, unlike NVML and Docker. Libraries cache below $HOME.
_TRITON_ENVIRONMENT: Final = {**_ENVIRONMENT, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "HOME": "/tmp"}  # noqa: S108
# vLLM's processes talk to each other over an IP address. The container has no network, so only the loopback works.
_VLLM_ENVIRONMENT: Final = {"VLLM_HOST_IP": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """Settings of the containers that are not compiled from the configuration.

    `user`: uid and gid of all processes and files. `salt`: key of the digests, at most 64 bytes. `ca_file`: bundle of
    certificate authorities of this machine. `gpus`: devices as Docker names them; empty: all.
    """

    project: str
    user: tuple[int, int]
    images: Images
    salt: bytes
    ca_file: Path
    quick_start: bool = False
    gpus: tuple[str, ...] = ()


def render_compose(gateway: Gateway, settings: ContainerSettings) -> RenderedFiles:
    """Return all files, compose.yaml included, by their path under the run directory.

    RenderError if a file that a container needs cannot be read.
    """
    rendered = render_container_files(gateway, settings.ca_file)
    text = render_template("compose.yaml.j2", _values(gateway, settings, rendered), spaced=True)
    return RenderedFiles({**rendered.files, "compose.yaml": RenderedFile(text)}, rendered.links)


def render_container_files(gateway: Gateway, ca_file: Path) -> RenderedFiles:
    """Return the files that the containers read, without compose.yaml. RenderError if a file cannot be read."""
    remote = gateway.envoy.remote and _with_container_paths(gateway.envoy.remote)
    gateway_in_containers = replace(gateway, envoy=replace(gateway.envoy, remote=remote))
    rendered = render(
        gateway_in_containers,
        CONTAINER_LAYOUT,
        ca_file=CONTAINER_LAYOUT.root / _CA_FILE,
        prepared=MODELS_FOLDER,
    )
    return RenderedFiles({**rendered.files, **dict(_read(copied_files(gateway, ca_file)))}, rendered.links)


def host_paths(gateway: Gateway, ca_file: Path) -> Mapping[str, Path]:
    """Return path in a container -> path on this machine for the copied files, to validate the configuration here."""
    return {str(CONTAINER_LAYOUT.root / name): path for name, path in copied_files(gateway, ca_file).items()}


def copied_files(gateway: Gateway, ca_file: Path) -> Mapping[str, Path]:
    """Return the files of this machine to copy, by their path under the run directory."""
    remote = gateway.envoy.remote
    copied = {_CA_FILE: ca_file}
    catalogue = user_catalog()
    if catalogue is not None and _prepared(gateway.models):
        copied[_CATALOG] = catalogue
    if remote is not None:
        copied |= {name: path for name, path in _tls_files(remote).items() if path is not None}
    return copied


def triton_variant(plan: ModelPlan) -> Variant:
    """Return the variant of Triton's image that serves the models of `plan`."""
    if any(model.behind is not None for model in plan.models):
        return Variant.VLLM
    on_gpu = any(model.device is Device.GPU for model in plan.models) or any(model.on_gpu for model in plan.custom)
    return Variant.GPU if on_gpu else Variant.CPU


def _tls_files(remote: RemoteTriton) -> Mapping[str, Path | None]:
    name = remote.upstream.cluster
    return {f"tls/{name}.ca.crt": remote.ca, f"tls/{name}.crt": remote.cert, f"secrets/{name}.key": remote.key}


def _with_container_paths(remote: RemoteTriton) -> RemoteTriton:
    ca, cert, key = (path and CONTAINER_LAYOUT.root / name for name, path in _tls_files(remote).items())
    return replace(remote, ca=ca, cert=cert, key=key)


def _read(paths: Mapping[str, Path]) -> Iterator[tuple[str, RenderedFile]]:
    for name, path in paths.items():
        try:
            # PEM is ASCII, except for comments in some bundles.
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise RenderError(f"{path}, which a container needs, cannot be read: {error.strerror}") from error
        yield name, RenderedFile(text, SECRET if name.startswith("secrets/") else READABLE)


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
    """`folders`: folders of this machine with models, mounted unchanged. `devices`: empty for all GPUs.

    `used_by_envoy`: a provider is a chat model of this Triton, so Envoy needs its sockets.
    """

    command: tuple[str, ...]
    health: tuple[str, ...]
    environment: Mapping[str, str]
    folders: tuple[Path, ...]
    gpu: bool
    used_by_envoy: bool
    devices: tuple[str, ...]
    memory: str
    shared_memory: str


@dataclass(frozen=True, slots=True)
class _SampleApi:
    command: tuple[str, ...]
    check: str


def _values(gateway: Gateway, settings: ContainerSettings, rendered: RenderedFiles) -> dict[str, object]:
    plan = gateway.models
    prepared = _prepared(plan)
    uid, gid = settings.user
    return {
        "project": settings.project,
        "user": f"{uid}:{gid}",
        "images": settings.images,
        "layout": CONTAINER_LAYOUT,
        "gateway": gateway,
        "environment": _ENVIRONMENT,
        "envoy": envoy_arguments(gateway.envoy, CONTAINER_LAYOUT),
        "workers": [_worker(gateway, index) for index in gateway.envoy.worker_indices],
        "triton": _triton(gateway, settings.gpus) if plan.names else None,
        "prepared": ("archgw", "models", "prepare", *prepared) if prepared else None,
        "catalogue": _CATALOG in rendered.files,
        "models_environment": _models_environment(rendered),
        "quick_start": _sample_api() if settings.quick_start else None,
        "models_folder": MODELS_FOLDER,
        "secrets": [_secret(name) for name in rendered.files if name.startswith("secrets/")],
        "sockets_options": f"uid={uid},gid={gid},mode=0700",
        # Docker's `max-file` includes the current file.
        "log_size": str(gateway.logs.max_bytes),
        "log_files": str(gateway.logs.files + 1),
        "digests": _digests(rendered, settings.salt, folders_of(plan)),
    }


def _models_environment(rendered: RenderedFiles) -> dict[str, str]:
    more = {CATALOG_VARIABLE: str(CONTAINER_LAYOUT.root / _CATALOG)} if _CATALOG in rendered.files else {}
    return {**_ENVIRONMENT, "ARCHGW_CACHE_DIR": str(MODELS_FOLDER.parent), "HOME": "/tmp", **more}  # noqa: S108


def _worker(gateway: Gateway, index: int) -> _Worker:
    command = ("python", *worker_arguments(gateway.envoy, CONTAINER_LAYOUT, index))
    return _Worker(worker_name(index), command, CONTAINER_LAYOUT.worker_socket(index))


def _sample_api() -> _SampleApi:
    port = str(SAMPLE_API_PORT)
    return _SampleApi(
        command=("python", "-P", "-m", "controlplane.runtime.docker.sample_api", "--host", _WILDCARD, "--port", port),
        check=f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    )


def _secret(name: str) -> _Secret:
    """Return a Compose secret. Its name may have only letters, digits, `_`, `-` and `.`; so `.` replaces `%`."""
    path = Path(name)
    stem = path.stem.replace(".", "%2E").replace("%", ".")
    return _Secret(f"{stem}{path.suffix}", f"./{name}", CONTAINER_LAYOUT.root / name)


def _triton(gateway: Gateway, gpus: tuple[str, ...]) -> _Triton:
    plan = gateway.models
    upstreams = (provider.upstream for provider in gateway.envoy.providers)
    folders = folders_of(plan)
    on_gpu = triton_variant(plan) is not Variant.CPU
    # The largest model from a package takes some 300 MB per process. Other models may be read into memory and copied
    # once, so twice the size of their files.
    memory = 2 * _GIB + _processes(plan) * _GIB + 2 * sum(map(_size, folders)) + (8 * _GIB if on_gpu else 0)
    shared = 128 * _MIB + _processes(plan) * 64 * _MIB + (_GIB if on_gpu else 0)
    return _Triton(
        command=(*_REMOVE_SOCKETS, "tritonserver", *triton_arguments(plan, CONTAINER_LAYOUT)),
        health=(*_CURL, "--unix-socket", str(CONTAINER_LAYOUT.triton_http), "http://triton/v2/health/ready"),
        environment=_TRITON_ENVIRONMENT | (_VLLM_ENVIRONMENT if triton_variant(plan) is Variant.VLLM else {}),
        folders=_mounts(folders),
        gpu=on_gpu,
        used_by_envoy=any(isinstance(each, Pipe) for upstream in upstreams for each in upstream.addresses),
        devices=gpus,
        memory=f"{memory // _MIB}m",
        shared_memory=f"{shared // _MIB}m",
    )


def _processes(plan: ModelPlan) -> int:
    """Return the minimum number of model processes."""
    return sum(model.instances + (FRONTS if model.behind else 0) for model in plan.models) + 4 * len(plan.custom)


def _prepared(plan: ModelPlan) -> tuple[str, ...]:
    """Return the catalogue entries from packages, which the volume must contain."""
    return tuple(name for name in _artefacts(plan) if catalog().artefacts[name].package is not None)


def folders_of(plan: ModelPlan) -> tuple[Path, ...]:
    """Return the folders of this machine with models: from a hub, from a folder, and the user's own."""
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
    """Return `folders` plus the targets of links in them: a hub's cache keeps the files outside the model's folder."""
    mounts = dict.fromkeys(folders)
    for folder in tuple(mounts):
        for link in (path for path in _files(folder) if path.is_symlink()):
            target = Path(os.path.normpath(link.parent / link.readlink()))
            if not any(target.is_relative_to(each) for each in mounts):
                mounts[target] = None
    return tuple(mounts)


def _digests(rendered: RenderedFiles, salt: bytes, folders: Iterable[Path]) -> Mapping[str, str]:
    """Return a keyed digest of the files that each service reads."""

    def texts(*names: str) -> Iterator[str]:
        for name, file in sorted(rendered.files.items()):
            if name.startswith(names):
                yield from (name, oct(file.mode), file.text)

    links = (text for name, target in sorted(rendered.links.items()) for text in (name, str(target)))
    # Model files may be large, so only size and time of modification count.
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
        # The length prefix makes different lists of texts different bytes.
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8) + encoded)
    return digest.hexdigest()
