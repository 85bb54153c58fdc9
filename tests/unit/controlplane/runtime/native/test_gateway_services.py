"""Command lines of the services."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from controlplane.compile.plans import Gateway, LogPlan, ModelInstance, ModelPlan
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.native import environment_variables
from controlplane.runtime.native.gateway_services import gateway_services
from controlplane.runtime.native.triton_install import build_backend, find_triton
from extproc.shared.filter_config import VERSION, FilterConfig
from tests.unit.controlplane.render.plans import KEY, plan

LAYOUT = RunLayout(Path("/r"))
GATEWAY = Gateway(
    filter_config=FilterConfig(version=VERSION, providers=(), max_request_bytes=1, internal_socket="/i"),
    envoy=plan(),
    models=ModelPlan((ModelInstance("guard", "guard", 1, 8),)),
    logs=LogPlan(max_bytes=1 << 20, files=3),
)


def test_environment_contains_only_allowed_variables() -> None:
    clean = environment_variables.service_environment(
        {"PATH": "/bin", "OPENAI_API_KEY": KEY, "HOME": "/h", "PYTHONPATH": "/evil"}, "/r"
    )
    assert clean == {
        "PATH": "/bin",
        "HOME": "/h",
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        "ARCHGW_RUN_DIR": "/r",
    }


def test_user_can_set_the_number_of_openblas_threads() -> None:
    assert environment_variables.service_environment({"OPENBLAS_NUM_THREADS": "4"}, "/r")["OPENBLAS_NUM_THREADS"] == "4"


def test_one_process_per_worker_and_no_key_in_a_command_line() -> None:
    services = gateway_services(GATEWAY, LAYOUT, {}, Path("/envoy"), find_triton())
    assert [service.name for service in services] == ["triton", "extproc-0", "extproc-1", "extproc-2", "envoy"]
    assert [service.name for service in services if service.edge] == ["envoy"]
    assert KEY not in str(services)
    assert "--reject-unknown-dynamic-fields" in services[-1].argv


def test_triton_listens_on_unix_sockets_and_loads_the_plan() -> None:
    triton = gateway_services(GATEWAY, LAYOUT, {}, Path("/envoy"), find_triton())[0]
    addresses = [each for each in triton.argv if "-address" in each]
    assert addresses == ["--http-address=unix:/r/triton/http", "--grpc-address=unix:/r/triton/grpc"]
    assert "--allow-metrics=false" in triton.argv
    assert "--load-model=guard" in triton.argv
    assert "nvidia_pytriton.libs" in triton.environment["LD_LIBRARY_PATH"]


def test_triton_grpc_address_is_a_uri() -> None:
    """The folder's name has characters with a meaning in URIs."""
    layout = RunLayout(Path("/my runs/50%#1"))
    triton = gateway_services(GATEWAY, layout, {}, Path("/envoy"), find_triton())[0]
    assert "--grpc-address=unix:/my%20runs/50%25%231/triton/grpc" in triton.argv
    assert "--http-address=unix:/my runs/50%#1/triton/http" in triton.argv


def test_no_triton_without_local_models() -> None:
    services = gateway_services(GATEWAY, LAYOUT, {}, Path("/envoy"), None)
    assert [service.name for service in services] == ["extproc-0", "extproc-1", "extproc-2", "envoy"]


def test_links_the_vllm_backend_with_a_wrapped_entry_point(tmp_path: Path) -> None:
    vllm = tmp_path / "vllm"
    (vllm / "utils").mkdir(parents=True)
    (vllm / "model.py").touch()
    layout = RunLayout(tmp_path / "run")
    layout.backends.mkdir(parents=True)
    build_backend(dataclasses.replace(find_triton(), vllm=vllm), layout)
    built = layout.backends / "vllm"
    assert {path.name for path in built.iterdir()} == {"model.py", "utils"}
    assert (built / "utils").resolve() == vllm / "utils"
    assert str(vllm / "model.py") in (built / "model.py").read_text()
    assert (layout.backends / "python" / "triton_python_backend_stub").is_file()
