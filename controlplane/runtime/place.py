"""The run directory: where it is by default, whether it can be one, who may use it now, and how it is left clean."""

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
from controlplane.runtime.layout import RunLayout

# sockaddr_un.sun_path, with its closing zero.
_SOCKET_PATH_BYTES: Final = 107
# A target `unix:PATH` is a list separated by commas, with URI's marks and escapes.
_NOT_IN_TARGETS: Final = re.compile(r"[,#?]|%[0-9A-Fa-f]{2}")
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108


def run_layout(run_dir: Path | None, option: str = "--run-dir") -> RunLayout:
    """The layout of `run_dir`, or of the user's own. UsageError where unix sockets cannot lie there.

    `option`: what names the directory on the command line.
    """
    root = (run_dir or platformdirs.user_state_path("archgw") / "run").expanduser().absolute()
    layout = RunLayout(Path(os.path.realpath(root)))
    if not is_unicode(str(layout.root)):
        shown = bytes(layout.root).decode(errors="backslashreplace")
        raise UsageError(f"the run directory {shown} has a name that is not UTF-8; choose another one with {option}")
    # No other name in there is longer.
    longest = len(os.fsencode(layout.supervisor_socket))
    if longest > _SOCKET_PATH_BYTES:
        raise UsageError(
            f"the run directory {layout.root} is {longest - _SOCKET_PATH_BYTES} bytes too long for unix sockets, "
            f"whose paths have {_SOCKET_PATH_BYTES} at most; choose a shorter one with {option}"
        )
    if (taken := _NOT_IN_TARGETS.search(str(layout.root))) is not None:
        raise UsageError(
            f"the run directory {layout.root} holds {taken[0]!r}, which gRPC cannot take in a unix socket's path; "
            f"choose another one with {option}"
        )
    return layout


def make(layout: RunLayout) -> None:
    """Create the directory, closed to everyone else, and the folders that are there before any file is."""
    layout.root.mkdir(parents=True, exist_ok=True)
    layout.root.chmod(0o700)
    for folder in (layout.sockets, layout.triton_sockets, layout.logs, *_rendered(layout)):
        folder.mkdir(mode=0o700, exist_ok=True)


def clear(layout: RunLayout) -> None:
    """Remove what only a running gateway needs: keys, sockets, state, shared memory. Logs stay."""
    for folder in _folders(layout):
        shutil.rmtree(folder, ignore_errors=True)
    for file in _files(layout):
        file.unlink(missing_ok=True)
    clear_shared_memory(layout)


def clear_shared_memory(layout: RunLayout) -> None:
    """Remove what a killed Triton left in /dev/shm. None may run."""
    for file in _SHARED_MEMORY.glob(f"{layout.shared_memory_prefix}*"):
        with contextlib.suppress(OSError):
            file.unlink()


def prune(layout: RunLayout, names: Collection[str]) -> None:
    """Remove what an earlier configuration left in folders of rendered files: whatever `names` does not name."""
    for folder in _rendered(layout):
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):  # not empty
                    path.rmdir()
            elif str(path.relative_to(layout.root)) not in names:
                path.unlink()


def give(layout: RunLayout, uid: int, gid: int) -> None:
    """Make somebody else the owner of the rendered files, whom containers run as. For root alone."""
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
        layout.repair_lock,
    )


def _rendered(layout: RunLayout) -> tuple[Path, ...]:
    return (layout.envoy, layout.secrets, layout.models, layout.tls)


def _refuse_another_use(layout: RunLayout) -> None:
    """A folder in which no gateway was, and no `archgw render` either: what has our names there is somebody's work."""
    folders = [each for each in _folders(layout) if each.is_dir() and any(each.iterdir())]
    if found := [path.name for path in (*folders, *_files(layout)) if path.exists()]:
        raise UsageError(
            f"{layout.root} is no run directory: it holds {', '.join(found)} of somebody else's, "
            "which would be removed; choose another folder with --run-dir"
        )


@contextlib.contextmanager
def locked(layout: RunLayout) -> Iterator[None]:
    """One `up` or `down` at a time. RuntimeFault when another is at work, UsageError where the folder is not ours."""
    lock = layout.root / "lock"
    if not lock.exists() and not layout.filter_config.exists():
        _refuse_another_use(layout)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RuntimeFault(f"another archgw up or down is at work in {layout.root}") from error
        yield
    finally:
        os.close(descriptor)
