"""The models run in Triton's own Python, which is older than ours: 3.10 in NVIDIA's image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_modules_support_the_python_of_triton(tmp_path: Path) -> None:
    # The checker knows the syntax of each version, and which names its standard library has.
    command = [sys.executable, "-m", "mypy", "--python-version", "3.10", "--cache-dir", str(tmp_path)]
    done = subprocess.run([*command, "triton_models"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
