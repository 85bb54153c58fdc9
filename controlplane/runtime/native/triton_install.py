"""The Triton server of the `nvidia-pytriton` wheel: its files, backend directory, command line and environment."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controlplane.compile.plans import ModelPlan
from controlplane.errors import RuntimeFault
from controlplane.render.atomic_write import write_link
from controlplane.render.model_repository import entry_point
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.command_lines import TRITON, triton_arguments
from controlplane.runtime.native.environment_variables import SERVICE_MARK

_ROOT: Final = "pytriton/tritonserver"
_VLLM: Final = "backends/vllm"
_MODEL: Final = "model.py"


@dataclass(frozen=True, slots=True)
class TritonInstall:
    """The wheel's server, its Python backend, and the folders of libraries that both load.

    `vllm`: the backend for large models on a GPU; None if this server has none.
    """

    server: Path
    backend: Path
    vllm: Path | None
    stub: Path
    libraries: tuple[Path, ...]
    site_packages: Path


def find_triton() -> TritonInstall:
    """Return the installed server. RuntimeFault if there is none, or none for this version of Python."""
    site_packages = _site_packages()
    if site_packages is None:
        raise RuntimeFault("Triton is not installed here: pip install 'archgw[local]'")
    root = site_packages / _ROOT
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise RuntimeFault(f"the installed Triton has no Python backend for Python {version}")
    return TritonInstall(
        server=root / "bin" / "tritonserver",
        backend=root / "backends" / "python",
        vllm=root / _VLLM if has_vllm() else None,
        stub=stub,
        # The backend stub loads libcudart from the first and libpython from the second.
        libraries=(site_packages / "nvidia_pytriton.libs", Path(sysconfig.get_config_var("LIBDIR"))),
        site_packages=site_packages,
    )


def has_vllm() -> bool:
    """Return True if a server with the vLLM backend is installed."""
    site_packages = _site_packages()
    return site_packages is not None and (site_packages / _ROOT / _VLLM).is_dir()


def _site_packages() -> Path | None:
    # find_spec does not import the package. Its import starts processes.
    package = importlib.util.find_spec("pytriton")
    return None if package is None or package.origin is None else Path(package.origin).parent.parent


def build_backend(install: TritonInstall, layout: RunLayout) -> None:
    """Create a backend directory with the Python backend for the running Python, and the vLLM backend if installed."""
    target = layout.backends / "python"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(install.backend, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(install.stub, target / install.stub.name)
    (target / install.stub.name).chmod(0o755)
    if install.vllm is not None:
        _link_vllm(install.vllm, layout.backends / "vllm")


def _link_vllm(backend: Path, target: Path) -> None:
    """Link the vLLM backend. Its model.py is wrapped, so that it finds the installed packages."""
    target.mkdir(exist_ok=True)
    for each in backend.iterdir():
        if each.name != _MODEL:
            write_link(target / each.name, each)
    (target / _MODEL).write_text(entry_point(backend / _MODEL), encoding="utf-8")


def launcher_command(install: TritonInstall, plan: ModelPlan, layout: RunLayout) -> list[str]:
    """Return the command line of `triton_launcher`, which then executes the server."""
    arguments = triton_arguments(plan, layout, backends=layout.backends, shm_prefix=layout.shared_memory_prefix)
    launcher = [sys.executable, "-P", "-m", "controlplane.runtime.native.triton_launcher", str(layout.root)]
    # The paths are relative to Triton's working directory, the run directory: Triton passes them to a shell unquoted.
    relative = (argument.replace(f"={layout.root}/", "=./") for argument in arguments)
    return [*launcher, str(install.server), *relative]


def environment(install: TritonInstall, clean: dict[str, str]) -> dict[str, str]:
    """Return `clean` plus the variables by which the wheel's processes find their libraries and ours."""
    return {
        **clean,
        SERVICE_MARK: TRITON,
        # By default CUDA numbers the fastest GPU first, unlike NVML and nvidia-smi.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "LD_LIBRARY_PATH": ":".join(str(path) for path in install.libraries),
        "PYTHONPATH": str(install.site_packages),
    }
