"""tritonserver from the `nvidia-pytriton` wheel: where it lies, what it needs around it, and how it is started."""

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
from controlplane.render.atomic import write_link
from controlplane.render.model_repository import entry_point
from controlplane.runtime.commands import TRITON, triton_arguments
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native.environment import PART_MARK

_ROOT: Final = "pytriton/tritonserver"
_VLLM: Final = "backends/vllm"
_MODEL: Final = "model.py"


@dataclass(frozen=True, slots=True)
class TritonInstall:
    """The wheel's server, its Python backend, and the libraries that their processes load.

    `vllm`: the backend that serves large models on a GPU; None where this server has none.
    """

    server: Path
    backend: Path
    vllm: Path | None
    stub: Path
    libraries: tuple[Path, ...]
    site_packages: Path


def find_triton() -> TritonInstall:
    """The installed server. RuntimeFault where there is none, or none for this Python."""
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
        # The stub loads libcudart from the first, libpython from the second.
        libraries=(site_packages / "nvidia_pytriton.libs", Path(sysconfig.get_config_var("LIBDIR"))),
        site_packages=site_packages,
    )


def has_vllm() -> bool:
    """Whether a server is installed and has the backend for large models on a GPU."""
    site_packages = _site_packages()
    return site_packages is not None and (site_packages / _ROOT / _VLLM).is_dir()


def _site_packages() -> Path | None:
    # Not imported: the package would start things.
    package = importlib.util.find_spec("pytriton")
    return None if package is None or package.origin is None else Path(package.origin).parent.parent


def build_backend(install: TritonInstall, layout: RunLayout) -> None:
    """A backend directory with the stub of the running Python in it, and vLLM's beside it where there is one."""
    target = layout.backends / "python"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(install.backend, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(install.stub, target / install.stub.name)
    (target / install.stub.name).chmod(0o755)
    if install.vllm is not None:
        _link_vllm(install.vllm, layout.backends / "vllm")


def _link_vllm(backend: Path, target: Path) -> None:
    """It is a Python model that serves others, and finds vLLM no better than a model finds numpy."""
    target.mkdir(exist_ok=True)
    for each in backend.iterdir():
        if each.name != _MODEL:
            write_link(target / each.name, each)
    (target / _MODEL).write_text(entry_point(backend / _MODEL), encoding="utf-8")


def argv(install: TritonInstall, plan: ModelPlan, layout: RunLayout) -> list[str]:
    """The command line of the launcher, which becomes the server with exactly the models of the plan."""
    arguments = triton_arguments(plan, layout, backends=layout.backends, shm_prefix=layout.shared_memory_prefix)
    launcher = [sys.executable, "-P", "-m", "controlplane.runtime.native.triton_launcher", str(layout.root)]
    # Relative to the run directory, where it runs: to start a model's process, Triton gives them to a shell, unquoted.
    relative = (argument.replace(f"={layout.root}/", "=./") for argument in arguments)
    return [*launcher, str(install.server), *relative]


def environment(install: TritonInstall, clean: dict[str, str]) -> dict[str, str]:
    """The clean environment, and what the wheel's processes need to load their libraries and ours."""
    return {
        **clean,
        PART_MARK: TRITON,
        # CUDA counts the fastest first, unlike NVML and everybody who writes CUDA_VISIBLE_DEVICES.
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "LD_LIBRARY_PATH": ":".join(str(path) for path in install.libraries),
        "PYTHONPATH": str(install.site_packages),
    }
