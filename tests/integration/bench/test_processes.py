"""The processor time of a process and its descendants, from /proc."""

from __future__ import annotations

import subprocess
import sys

from bench.processes import processor_seconds

_BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
_PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_BUSY!r}])"


def test_processor_time_includes_child_processes() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdout.readline()
        assert 0.25 < processor_seconds(parent.pid) < 5
        parent.stdin.write(b"\n")


def test_processor_time_of_an_ended_process_is_zero() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    assert processor_seconds(gone.pid) == 0
