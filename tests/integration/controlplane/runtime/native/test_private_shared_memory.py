"""A private /dev/shm."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

SCRIPT = """
import ctypes, os, sys
from pathlib import Path
from controlplane.runtime.native import private_shared_memory
name, user = sys.argv[1], int(sys.argv[2])
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
    # Makes /proc/self belong to this user, as after an exec.
    PR_SET_DUMPABLE = 4
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)
try:
    private_shared_memory.mount()
except PermissionError as error:
    print(f"denied {error}", flush=True)
else:
    Path("/dev/shm", name).write_bytes(b"a prompt")
    print(os.getuid(), os.getgid(), os.listdir("/dev/shm") == [name], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("user", [0, 65534])
def test_other_processes_do_not_see_the_files_and_the_user_stays(user: int) -> None:
    if os.getuid() != 0:
        user = 0  # the user that runs the tests
    name = f"archgw-test-{uuid.uuid4()}"
    command = [sys.executable, "-c", SCRIPT, name, str(user)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if line.startswith("denied"):
            process.communicate("")
            pytest.skip(f"this kernel lets nobody make a namespace: {line}")
        assert line == f"{user or os.getuid()} {user or os.getgid()} True"
        assert not (Path("/dev/shm") / name).exists()  # noqa: S108
        process.communicate("")


HALF_ALLOWED = """
import os, sys
from controlplane.runtime.native import private_shared_memory
call = private_shared_memory._call
def denied(name, *arguments):
    if name == "mount":
        raise PermissionError("mount: no")
    call(name, *arguments)
private_shared_memory._call = denied
before = os.readlink("/proc/self/ns/mnt"), os.getuid()
try:
    private_shared_memory.mount()
except OSError as error:
    print(error, before == (os.readlink("/proc/self/ns/mnt"), os.getuid()))
"""


def test_partial_failure_changes_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", HALF_ALLOWED], capture_output=True, text=True, check=True)
    assert done.stdout.endswith(" True\n"), done
