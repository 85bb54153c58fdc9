"""A /dev/shm of one's own. Used by Triton's launcher.

Texts travel between Triton and its models in files of /dev/shm, and the Python backend makes those readable for every
user whatever the umask. So Triton gets a mount namespace with a /dev/shm that no other process sees. It goes with the
last process in it, and so does what a killed server would leave.
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
    """For this process, and those that it starts or becomes. It must have one thread.

    OSError where the kernel does not allow it: then /dev/shm is the machine's, as before.
    """
    _rehearse()
    _hide()


def _rehearse() -> None:
    """In a process that ends then: one that is allowed only half of it cannot go back. OSError as above."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            _hide()
            status = 0
        except OSError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if status:
        raise PermissionError(said)


def _hide() -> None:
    try:
        _call("unshare", _NEW_MOUNTS)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        # Whoever is not root may do so in a user namespace, in which they stay who they are.
        user, group = os.getuid(), os.getgid()
        _call("unshare", _NEW_USER | _NEW_MOUNTS)
        Path("/proc/self/setgroups").write_bytes(b"deny")
        Path("/proc/self/uid_map").write_bytes(b"%d %d 1" % (user, user))
        Path("/proc/self/gid_map").write_bytes(b"%d %d 1" % (group, group))
    # What is mounted on the machine later is seen here too, and not the other way round.
    _call("mount", None, b"/", None, _RECURSIVE | _SLAVE, None)
    _call("mount", b"tmpfs", _SHARED_MEMORY, b"tmpfs", _NOSUID | _NODEV | _NOEXEC, b"mode=0700")


def _call(name: str, *arguments: bytes | int | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
