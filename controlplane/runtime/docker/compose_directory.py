"""The run directory of a gateway of containers: who its files belong to, and writing them. For `up` and `render`."""

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
from controlplane.runtime.docker.compose_file import ContainerSettings, folders_of, here, render_compose
from controlplane.runtime.docker.images import Images

# Who owns the files, and the processes in the containers, where the operator is root: nobody of this machine.
_NOBODYS: Final = (10_001, 10_001)
_SALT_BYTES: Final = 32


def write(  # noqa: PLR0913 - what is known of the gateway, and of the engine
    gateway: Gateway,
    layout: RunLayout,
    project: str,
    images: Images,
    *,
    quick_start: bool = False,
    rootless: bool = False,
) -> RenderedFiles:
    """Every file that the containers read, and compose.yaml; what was written before and is not among them goes.

    They are checked with Envoy where it is installed. `rootless`: whether the engine runs as the operator, not as root.
    """
    layout.root.mkdir(parents=True, exist_ok=True)
    ours = layout.salt.exists()
    owner = _NOBODYS if os.getuid() == 0 else (os.getuid(), os.getgid())
    trusted = ca_bundle()
    inside = ContainerSettings(
        project=project,
        # To a rootless engine, its own user is 0, and any other number is nobody who could read these files.
        user=(0, 0) if rootless and os.getuid() != 0 else owner,
        images=images,
        salt=_salt(layout),
        trusted=trusted,
        quick_start=quick_start,
        gpus=_gpus(os.environ.get(gpu.VISIBLE_DEVICES)),
    )
    if owner == _NOBODYS:
        _check_readable(folders_of(gateway.models))
    rendered = render_compose(gateway, inside)
    # Envoy itself where it is installed: it finds all that its types do, in a tenth of the time.
    if (envoy := find_envoy()) is not None:
        validate_with_envoy(envoy, rendered.files, here(gateway, trusted))
    else:
        validate_types(rendered.files)
    run_directory.create(layout)
    if ours:  # whatever else lies in a folder that somebody named for rendering is theirs
        run_directory.remove_stale(layout, {*rendered.files, *rendered.links})
    rendered.write(layout.root)
    if os.getuid() == 0:
        run_directory.change_owner(layout, *owner)
    return rendered


def _check_readable(folders: Iterable[Path]) -> None:
    """Models of this machine are mounted as they lie: what root alone may read, Triton's container could not."""
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
            if path.stat().st_mode & wanted != wanted:
                raise RenderError(
                    f"{path} cannot be read by the containers, which run as user {_NOBODYS[0]}: chmod -R a+rX {folder}"
                )


def _gpus(visible: str | None) -> tuple[str, ...]:
    """The devices that the operator lets CUDA use, as Docker names them; none: all."""
    return tuple(each.strip() for each in visible.split(",") if each.strip()) if visible else ()


def _salt(layout: RunLayout) -> bytes:
    """With what the digests of this run directory's files are keyed: they tell nobody what a secret is."""
    if not layout.salt.exists():
        layout.root.chmod(0o700)
        write_file(layout.salt, secrets.token_hex(_SALT_BYTES), 0o600)
    return bytes.fromhex(layout.salt.read_text(encoding="ascii"))
