"""Other users of the machine reach no socket and no file of a gateway; its owner cannot break Triton by mistake."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx2
import msgspec
import psutil
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from controlplane.runtime.native.gateway_processes import find as find_processes
from controlplane.runtime.runner import Runtime
from tests.dataplane.load import prompt
from tests.dataplane.recovery import model_processes, wait_recovered
from tests.dataplane.stack import Stack, wait_for
from tests.support.intruder import NOBODY, Findings, Task, refusals
from tests.support.llm_provider import LlmProvider

ROOT = Path(__file__).parents[2]

native = pytest.mark.runtime(Runtime.NATIVE, why="containers have no other user: tests/docker/test_containers.py")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def run_intruder(task: Task) -> Findings:
    """Run the intruder in its own process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.intruder"],
        input=msgspec.json.encode(task),
        capture_output=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=Findings)


def processes(stack: Stack) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in find_processes(stack.run_dir)]


def ports(stack: Stack) -> set[int]:
    """TCP ports that any process of the gateway listens on, those of the models too."""
    listening = (each for process in processes(stack) for each in process.net_connections("tcp"))
    return {each.laddr.port for each in listening if each.status == psutil.CONN_LISTEN}


def sockets(stack: Stack) -> set[str]:
    """Returns the unix sockets of the gateway that accept connections: those in the run directory, and all others that
    its processes have bound, abstract (`@...`) or with a path that still exists.
    """
    lying = {str(path) for path in stack.run_dir.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)}
    bound = {str(each.laddr) for process in processes(stack) for each in process.net_connections("unix") if each.laddr}
    return lying | {each for each in bound if not each.startswith("/") or os.path.lexists(each)}


@contextmanager
def entered(folder: Path) -> Iterator[None]:
    """Makes `folder` accessible to all users, so that the files in it must protect themselves."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(0o755)
    try:
        yield
    finally:
        folder.chmod(mode)


@contextmanager
def triton(stack: Stack) -> Iterator[grpc.Channel]:
    """A channel to Triton's gRPC socket, opened by the owner."""
    with grpc.insecure_channel(f"unix:{stack.triton}/grpc:8001") as channel:
        yield channel


@native
def test_gateway_opens_no_port_but_its_listeners_and_no_socket_outside_its_run_directory(
    stack: Stack,
) -> None:
    models = [process for process in processes(stack) if "triton_python_backend_stub" in " ".join(process.cmdline())]
    assert len(models) >= 4, "the model processes must be included"
    assert ports(stack) == {listener["port"] for listener in stack.config["listeners"].values()}
    assert {path for path in sockets(stack) if not path.startswith(f"{stack.run_dir}/")} == set()


@native
@needs_root
def test_other_user_opens_no_socket_and_no_file(stack: Stack, provider: LlmProvider) -> None:
    (before,) = stack.pids("triton")
    stack.post("ingress", prompt())
    root = stack.directory
    found = {path for path in sockets(stack) if path.startswith(f"{root}/")}
    secret = {path for name in ("secrets", "logs", "models") for path in (stack.run_dir / name).rglob("*")}
    files = {str(path) for path in (stack.run_dir / "filter.json", *secret) if path.is_file()}
    task = Task(
        uid=NOBODY,
        folder=str(root),
        # Relative paths: the folders above may be closed to other users.
        sockets=sorted(os.path.relpath(path, root) for path in found),
        files=sorted(os.path.relpath(path, root) for path in files),
        ports=sorted(ports(stack)),
    )
    assert {Path(path).name for path in task.sockets} >= {
        *("http", "grpc:8001", "admin.sock", "internal.sock", "supervisor.sock", "extproc-0.sock")
    }
    with entered(root):
        owned = run_intruder(msgspec.structs.replace(task, uid=0, ports=[]))
        assert owned == Findings(sockets=task.sockets, files=task.files, answers=[]), "the owner can, so others could"
        assert run_intruder(task) == Findings(sockets=[], files=[], answers=[])
    assert stack.post("ingress", prompt()).status_code == 200
    assert stack.pids("triton") == [before]
    assert stack.status()["ready"]


@native
@needs_root
def test_other_user_reads_no_shared_memory(stack: Stack, provider: LlmProvider) -> None:
    (pid,) = stack.pids("triton")
    stack.post("ingress", prompt())
    inside = Path(f"/proc/{pid}/root/dev/shm")
    task = Task(uid=0, folder="/", files=[str(path) for path in inside.iterdir()])
    assert len(task.files) >= 4
    assert run_intruder(task).files == task.files, "the owner can, so they are there"
    names = [Path(path).name for path in task.files]
    everywhere = [*task.files, *(f"/dev/shm/{name}" for name in names)]  # noqa: S108
    assert run_intruder(Task(uid=NOBODY, folder="/", files=everywhere)).files == []


@pytest.mark.smoke
def test_unused_triton_endpoints_are_closed(stack: Stack) -> None:
    with triton(stack) as channel:
        reasons = refusals(channel)
    assert len(reasons) == 5
    assert all(why is not None and "restricted" in why for why in reasons.values()), reasons
    transport = httpx2.HTTPTransport(uds=str(stack.triton / "http"))
    with httpx2.Client(transport=transport, base_url="http://triton") as client:
        assert client.get("/v2/health/ready").status_code == 200
        for path in ("/v2/repository/models/guard/unload", "/v2/repository/models/guard/load", "/v2/repository/index"):
            assert client.post(path, json={}, headers={"closed": "closed"}).status_code == 403
        for path in ("/v2/models/guard/config", "/v2/models/guard/stats", "/v2/systemsharedmemory/status"):
            assert client.get(path).status_code == 403
        for path in ("/v2/trace/setting", "/v2/logging"):
            assert client.get(path).status_code == 403


# The same code reloads each model.
@pytest.mark.parametrize(
    "model", ["guard", *(pytest.param(each, marks=pytest.mark.matrix) for each in ("embed", "chat"))]
)
def test_unloaded_model_is_loaded_again(stack: Stack, provider: LlmProvider, model: str) -> None:
    before, processes = stack.pids("triton"), model_processes(stack, model)
    assert processes
    with triton(stack) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.RepositoryModelUnload(service_pb2.RepositoryModelUnloadRequest(model_name=model), timeout=30)
    wait_for(lambda: model in stack.not_ready() or model_processes(stack, model).isdisjoint(processes))
    wait_recovered(stack)
    assert stack.pids("triton") == before
    assert model_processes(stack, model).isdisjoint(processes)


@pytest.mark.smoke
def test_model_processes_of_a_killed_triton_are_ended(stack: Stack, provider: LlmProvider) -> None:
    (before,) = stack.pids("triton")
    models = [each for each in psutil.Process(before).children() if each.status() != psutil.STATUS_ZOMBIE]
    assert len(models) >= 4
    server = psutil.Process(before)
    server.kill()
    server.wait(timeout=10)
    # A hanging model process does not notice the end of its server. It is frozen only after that end: Linux ends a
    # frozen process whose group loses its leader.
    with contextlib.suppress(ProcessLookupError):
        os.kill(models[0].pid, signal.SIGSTOP)
    wait_for(lambda: stack.pids("triton") not in ([], [before]))
    wait_recovered(stack)
    assert [each for each in models if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
