"""What the processes are started with."""

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


def test_the_environment_is_made_of_what_is_named() -> None:
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


def test_whose_own_models_multiply_large_matrices_may_have_threads_for_that() -> None:
    assert environment_variables.service_environment({"OPENBLAS_NUM_THREADS": "4"}, "/r")["OPENBLAS_NUM_THREADS"] == "4"


def test_every_worker_of_the_plan_is_a_process_and_no_key_is_in_any_command() -> None:
    services = gateway_services(GATEWAY, LAYOUT, {}, Path("/envoy"), find_triton())
    assert [service.name for service in services] == ["triton", "extproc-0", "extproc-1", "extproc-2", "envoy"]
    assert [service.name for service in services if service.edge] == ["envoy"]
    assert KEY not in str(services)
    assert "--reject-unknown-dynamic-fields" in services[-1].argv


def test_triton_is_reached_by_unix_sockets_alone_and_loads_the_plan() -> None:
    triton = gateway_services(GATEWAY, LAYOUT, {}, Path("/envoy"), find_triton())[0]
    addresses = [each for each in triton.argv if "-address" in each]
    assert addresses == ["--http-address=unix:/r/triton/http", "--grpc-address=unix:/r/triton/grpc"]
    assert "--allow-metrics=false" in triton.argv
    assert "--load-model=guard" in triton.argv
    assert "nvidia_pytriton.libs" in triton.environment["LD_LIBRARY_PATH"]


def test_triton_is_given_its_grpc_socket_as_a_uri() -> None:
    """In a folder whose name has characters that mean something in one."""
    layout = RunLayout(Path("/my runs/50%#1"))
    triton = gateway_services(GATEWAY, layout, {}, Path("/envoy"), find_triton())[0]
    assert "--grpc-address=unix:/my%20runs/50%25%231/triton/grpc" in triton.argv
    assert "--http-address=unix:/my runs/50%#1/triton/http" in triton.argv


def test_no_triton_is_started_where_every_model_is_somewhere_else() -> None:
    services = gateway_services(GATEWAY, LAYOUT, {}, Path("/envoy"), None)
    assert [service.name for service in services] == ["extproc-0", "extproc-1", "extproc-2", "envoy"]


def test_the_backend_for_large_models_is_linked_behind_an_entry_that_finds_its_packages(tmp_path: Path) -> None:
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
