"""Writes the run directory of a gateway in containers, with the right owner. Used by `up` and `render`."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from controlplane.compile.plans import Gateway
from controlplane.errors import RenderError
from controlplane.render.atomic_write import write_file
from controlplane.render.ca_bundle import ca_bundle
from controlplane.render.envoy_validation import find_envoy, validate_with_envoy
from controlplane.render.proto_validation import validate_types
from controlplane.render.rendered_files import RenderedFiles
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import gpu, run_directory
from controlplane.runtime.docker.compose_file import ContainerSettings, folders_of, host_paths, render_compose
from controlplane.runtime.docker.images import Images

# uid and gid of the files and of the processes in containers if the operator is root. No user of this machine has it.
_UNPRIVILEGED: Final = (10_001, 10_001)
_SALT_BYTES: Final = 32


def write(  # noqa: PLR0913 - facts about the gateway and about the engine
    gateway: Gateway,
    layout: RunLayout,
    project: str,
    images: Images,
    *,
    quick_start: bool = False,
    rootless: bool = False,
) -> RenderedFiles:
    """Write compose.yaml and all files that the containers read. Files of an earlier configuration are removed.

    The files are checked with Envoy if it is installed. `rootless`: the engine runs as the operator, not as root.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    is_ours = layout.salt.exists()
    owner = _UNPRIVILEGED if os.getuid() == 0 else (os.getuid(), os.getgid())
    ca_file = ca_bundle()
    settings = ContainerSettings(
        project=project,
        # In a rootless engine, uid 0 is the operator, and no other uid can read these files.
        user=(0, 0) if rootless and os.getuid() != 0 else owner,
        images=images,
        salt=_salt(layout),
        ca_file=ca_file,
        quick_start=quick_start,
        gpus=_gpus(os.environ.get(gpu.VISIBLE_DEVICES)),
    )
    if owner == _UNPRIVILEGED:
        _check_readable(folders_of(gateway.models))
    rendered = render_compose(gateway, settings)
    # Envoy, if installed, finds everything that `proto_validation` finds, in a tenth of the time.
    if (envoy := find_envoy()) is not None:
        validate_with_envoy(envoy, rendered.files, host_paths(gateway, ca_file))
    else:
        validate_types(rendered.files)
    run_directory.create(layout)
    if is_ours:  # never in a foreign folder that `render -o` names
        run_directory.remove_stale(layout, {*rendered.files, *rendered.links})
    rendered.write(layout.root)
    if os.getuid() == 0:
        run_directory.change_owner(layout, *owner)
    return rendered


def _check_readable(folders: Iterable[Path]) -> None:
    """Raise RenderError if the containers' user cannot read a model: folders of this machine are mounted unchanged."""
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
            if path.stat().st_mode & needed != needed:
                raise RenderError(
                    f"{path} cannot be read by the containers, which run as user {_UNPRIVILEGED[0]}: "
                    f"chmod -R a+rX {folder}"
                )


def _gpus(visible: str | None) -> tuple[str, ...]:
    """Return the devices of CUDA_VISIBLE_DEVICES as Docker names them; empty: all."""
    return tuple(each.strip() for each in visible.split(",") if each.strip()) if visible else ()


def _salt(layout: RunLayout) -> bytes:
    """Return this run directory's key for digests of files, so that a digest reveals nothing about a secret."""
    if not layout.salt.exists():
        layout.root.chmod(0o700)
        write_file(layout.salt, secrets.token_hex(_SALT_BYTES), 0o600)
    return bytes.fromhex(layout.salt.read_text(encoding="ascii"))
