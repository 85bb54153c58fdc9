"""The run directory on disk: default path, checks, lock, creation, cleaning. Used by the commands with --run-dir."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import platformdirs

from controlplane.config.yaml_parser import is_unicode
from controlplane.errors import RuntimeFault, UsageError
from controlplane.render.run_layout import RunLayout

# Size of sockaddr_un.sun_path without the terminating zero.
_SOCKET_PATH_BYTES: Final = 107
# gRPC parses a target `unix:PATH` as a comma-separated list of URIs.
_FORBIDDEN_IN_GRPC_TARGETS: Final = re.compile(r"[,#?]|%[0-9A-Fa-f]{2}")
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108


def run_layout(run_dir: Path | None, option: str = "--run-dir") -> RunLayout:
    """Return the layout of `run_dir`, or of the user's default one. UsageError if it cannot hold unix sockets.

    `option`: the command line option that names the directory, for the message.
    """
    root = (run_dir or platformdirs.user_state_path("archgw") / "run").expanduser().absolute()
    layout = RunLayout(Path(os.path.realpath(root)))
    if not is_unicode(str(layout.root)):
        shown = bytes(layout.root).decode(errors="backslashreplace")
        raise UsageError(f"the run directory {shown} has a name that is not UTF-8; choose another one with {option}")
    # The supervisor's socket has the longest path.
    longest = len(os.fsencode(layout.supervisor_socket))
    if longest > _SOCKET_PATH_BYTES:
        raise UsageError(
            f"the run directory {layout.root} is {longest - _SOCKET_PATH_BYTES} bytes too long for unix sockets, "
            f"whose paths have {_SOCKET_PATH_BYTES} at most; choose a shorter one with {option}"
        )
    if (forbidden := _FORBIDDEN_IN_GRPC_TARGETS.search(str(layout.root))) is not None:
        raise UsageError(
            f"the run directory {layout.root} holds {forbidden[0]!r}, which gRPC cannot take in a unix socket's path; "
            f"choose another one with {option}"
        )
    return layout


def create(layout: RunLayout) -> None:
    """Create the directory, with no access for other users, and its empty folders."""
    layout.root.mkdir(parents=True, exist_ok=True)
    layout.root.chmod(0o700)
    for folder in (layout.sockets, layout.triton_sockets, layout.logs, *_rendered(layout)):
        folder.mkdir(mode=0o700, exist_ok=True)


def clear(layout: RunLayout) -> None:
    """Remove everything that only a running gateway needs: keys, sockets, state, shared memory. Logs stay."""
    for folder in _folders(layout):
        shutil.rmtree(folder, ignore_errors=True)
    for file in _files(layout):
        file.unlink(missing_ok=True)
    clear_shared_memory(layout)


def clear_shared_memory(layout: RunLayout) -> None:
    """Remove the files of a killed Triton from /dev/shm. No Triton of this gateway may run."""
    for file in _SHARED_MEMORY.glob(f"{layout.shared_memory_prefix}*"):
        with contextlib.suppress(OSError):
            file.unlink()


def remove_stale(layout: RunLayout, names: Collection[str]) -> None:
    """Remove files of an earlier configuration from the folders of rendered files: all that `names` does not list."""
    for folder in _rendered(layout):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):  # not empty
                    path.rmdir()
            elif str(path.relative_to(layout.root)) not in names:
                path.unlink()


def change_owner(layout: RunLayout, uid: int, gid: int) -> None:
    """Give the rendered files to the user of the containers. Needs root."""
    for folder in _rendered(layout):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)
    for file in (layout.filter_config, layout.catalog):
        if file.exists():
            os.chown(file, uid, gid)


def _folders(layout: RunLayout) -> tuple[Path, ...]:
    return (*_rendered(layout), layout.sockets, layout.triton_sockets, layout.backends)


def _files(layout: RunLayout) -> tuple[Path, ...]:
    return (
        layout.state,
        layout.filter_config,
        layout.supervisor_plan,
        layout.compose,
        layout.catalog,
        layout.salt,
        layout.reload_lock,
    )


def _rendered(layout: RunLayout) -> tuple[Path, ...]:
    return (layout.envoy, layout.secrets, layout.models, layout.tls)


def _refuse_foreign_files(layout: RunLayout) -> None:
    """Raise UsageError if a folder that archgw never used holds files with our names: they would be removed."""
    folders = [each for each in _folders(layout) if each.is_dir() and any(each.iterdir())]
    if foreign := [path.name for path in (*folders, *_files(layout)) if path.exists()]:
        raise UsageError(
            f"{layout.root} is no run directory: archgw did not create {', '.join(foreign)} in it and would remove it; "
            "choose another folder with --run-dir"
        )


@contextlib.contextmanager
def locked(layout: RunLayout) -> Iterator[None]:
    """Hold the lock for `up` and `down`. RuntimeFault if it is taken; UsageError if the folder is not archgw's."""
    lock = layout.root / "lock"
    # `archgw render` writes filter.json, but no lock file.
    if not lock.exists() and not layout.filter_config.exists():
        _refuse_foreign_files(layout)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeFault(f"another archgw up or down is at work in {layout.root}") from error
        yield
    finally:
        os.close(descriptor)
