"""Mounts a private /dev/shm. Used by Triton's launcher.

Triton and its models exchange texts in files of /dev/shm, and the Python backend makes them readable for all users,
regardless of the umask. So Triton gets a mount namespace with a private /dev/shm. The kernel removes it, with its
files, when the last process in it ends.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Final

_SHARED_MEMORY: Final = b"/dev/shm"

# linux/sched.h and linux/mount.h
_NEW_MOUNTS: Final = 0x00020000
_NEW_USER: Final = 0x10000000
_NOSUID: Final = 0x2
_NODEV: Final = 0x4
_NOEXEC: Final = 0x8
_RECURSIVE: Final = 0x4000
_SLAVE: Final = 0x80000


def mount() -> None:
    """Mount a private /dev/shm for this process and its children. The process must have a single thread.

    OSError if the kernel does not allow it. Then the process still sees the machine's /dev/shm.
    """
    _try_in_child()
    _mount()


def _try_in_child() -> None:
    """Mount in a child process first: if a later step is forbidden, the first ones cannot be undone. OSError if so."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _mount()
            status = 0
        except OSError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        reason = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if status:
        raise PermissionError(reason)


def _mount() -> None:
    try:
        _call("unshare", _NEW_MOUNTS)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        # A user other than root needs a user namespace, in which the uid and gid stay the same.
        user, group = os.getuid(), os.getgid()
        _call("unshare", _NEW_USER | _NEW_MOUNTS)
        Path("/proc/self/setgroups").write_bytes(b"deny")
        Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (user, user))
        Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (group, group))
    # Later mounts on the machine appear here too, but not the other way round.
    _call("mount", None, b"/", None, _RECURSIVE | _SLAVE, None)
    _call("mount", b"tmpfs", _SHARED_MEMORY, b"tmpfs", _NOSUID | _NODEV | _NOEXEC, b"mode=0700")


def _call(name: str, *arguments: bytes | int | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
