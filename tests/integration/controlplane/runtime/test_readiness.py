"""When `up` returns and what it reports, with real processes and a fake filter."""

from __future__ import annotations

import http.server
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import grpc
import msgspec
import pytest

from controlplane.compile.plans import RoleLocation
from controlplane.errors import RuntimeFault
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.command_lines import worker_indices
from controlplane.runtime.gateway_state import PublicListener, State
from controlplane.runtime.native import environment_variables, gateway_processes
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.native.service import Service
from controlplane.runtime.native.supervisor import client
from controlplane.runtime.native.supervisor.plan import LogSizes
from controlplane.runtime.readiness import StartedGateway, wait_ready
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role
from extproc.shared.worker_status import METHOD, BackendStatus, RoleStatus, WorkerStatus

URL = "grpcs://triton.example.com:443"
REMOTE = RoleLocation("guard", Place.REMOTE, "guard", URL)
LOCAL = RoleLocation("guard", Place.LOCAL, "guard", "CPU")
Says = Callable[..., None]


def ready(place: Place) -> BackendStatus:
    return BackendStatus(place=place, model="guard", ready=True)


def down(place: Place, reason: str, detail: str = "") -> BackendStatus:
    return BackendStatus(place=place, model="guard", ready=False, reason=reason, detail=detail)


@pytest.fixture
def worker(layout: RunLayout) -> Iterator[Says]:
    """A filter worker's socket. It sends the given replies one after another, and then repeats the last one."""
    answers: list[tuple[BackendStatus, ...] | bytes] = []

    def say(*replies: tuple[BackendStatus, ...] | bytes) -> None:
        answers.extend(replies)

    def read(_: bytes, __: grpc.ServicerContext) -> bytes:
        replies = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(replies, bytes):
            return replies
        return msgspec.json.encode(WorkerStatus(roles={Role.GUARD: RoleStatus(backends=replies)}))

    _, service, method = METHOD.split("/")
    server = grpc.server(ThreadPoolExecutor(1))
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {method: grpc.unary_unary_rpc_method_handler(read)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"unix:{layout.worker_socket(0)}")
    server.start()
    yield say
    server.stop(None).wait()


@pytest.fixture
def listener() -> Iterator[PublicListener]:
    """A listener whose /healthz answers 200."""

    class Well(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield PublicListener("ingress", "127.0.0.1", server.server_port)
        server.shutdown()
        thread.join()


@pytest.fixture
def started(layout: RunLayout, listener: PublicListener) -> Iterator[StartedGateway]:
    clean = environment_variables.service_environment(os.environ, str(layout.root))
    sleeper = (sys.executable, "-c", "import time; print('loading', flush=True); time.sleep(600)")
    names = ("triton", "extproc-0")
    services = tuple(Service(name, sleeper, clean, layout.logs / f"{name}.log", order=1, stop_s=2) for name in names)
    client.write_plan(services, layout, LogSizes(max_bytes=1 << 20, files=1))
    supervisor = client.start(layout, clean)
    state = State(mode="m", config="c", since="s", listeners=(listener,), places=(REMOTE, LOCAL), services=names)
    yield StartedGateway(NativeRunner(layout), state, lambda: None)
    gateway_processes.stop_all(layout.root, grace_s=5)
    supervisor.wait(5)


def test_waits_for_the_local_model_although_a_remote_one_answers(started: StartedGateway, worker: Says) -> None:
    loading = (ready(Place.REMOTE), down(Place.LOCAL, "unreachable"))
    worker(loading, loading, (ready(Place.REMOTE), ready(Place.LOCAL)))
    replies: list[str] = []
    (guard,) = wait_ready(started, 20, replies.append)
    assert [place.ready for place in guard.places] == [True, True]
    assert replies[0] == "waiting for guard on CPU"


def test_unreachable_remote_is_a_warning_if_another_backend_is_ready(started: StartedGateway, worker: Says) -> None:
    worker((down(Place.REMOTE, "refused", "status 401"), ready(Place.LOCAL)))
    replies: list[str] = []
    (guard,) = wait_ready(started, 20, replies.append)
    assert guard.ready
    warning = f"warning: guard is not ready on {URL}: refused, status 401; another place stands in for it"
    assert [line for line in replies if line.startswith("warning")] == [warning]


def test_waits_for_a_remote_that_was_not_called_yet(started: StartedGateway, worker: Says) -> None:
    worker((down(Place.REMOTE, "starting"), ready(Place.LOCAL)), (ready(Place.REMOTE), ready(Place.LOCAL)))
    (guard,) = wait_ready(started, 20, lambda _: None)
    assert all(place.ready for place in guard.places)


def test_mismatch_fails_although_another_backend_is_ready(started: StartedGateway, worker: Says) -> None:
    worker((down(Place.REMOTE, "mismatch", "expected PROB FP32 [1], found LABEL BYTES [1]"), ready(Place.LOCAL)))
    with pytest.raises(RuntimeFault, match=r"guard.*triton\.example\.com.*expected PROB FP32 \[1\], found LABEL"):
        wait_ready(started, 20, lambda _: None)


def test_names_a_role_without_a_backend_and_the_remote_reason(started: StartedGateway, worker: Says) -> None:
    worker((down(Place.REMOTE, "unreachable", "connection refused"), down(Place.LOCAL, "unreachable")))
    with pytest.raises(RuntimeFault) as failure:
        wait_ready(started, 1, lambda _: None)
    assert f"waiting for guard\nguard is not ready on {URL}: unreachable, connection refused\n" in str(failure.value)
    # The local model is not ready either, so Triton's log is shown.
    assert "last lines of" in str(failure.value)
    assert "triton.log" in str(failure.value)


def test_slow_local_model_does_not_fail_a_gateway_that_answers(started: StartedGateway, worker: Says) -> None:
    worker((ready(Place.REMOTE), down(Place.LOCAL, "unreachable")))
    replies: list[str] = []
    wait_ready(started, 1, replies.append)
    assert replies[-1].startswith("warning: guard is not ready on CPU: unreachable")


def test_waits_for_a_service_that_just_started(started: StartedGateway, worker: Says) -> None:
    """Otherwise `up` reports ready, and `status` not ready a moment later."""
    worker((ready(Place.REMOTE), ready(Place.LOCAL)))
    wait_ready(started, 20, lambda _: None)
    assert [service.state for service in started.runner.services() or ()] == ["RUNNING", "RUNNING"]


def test_waits_for_a_silent_worker(started: StartedGateway, worker: Says) -> None:
    """A worker knows nothing about the models of another one."""
    worker((ready(Place.REMOTE), ready(Place.LOCAL)))
    two = msgspec.structs.replace(started.state, services=(*started.state.services, "extproc-1"))
    with pytest.raises(RuntimeFault, match="waiting for the filter"):
        wait_ready(replace(started, state=two), 1, lambda _: None)


def test_ignores_a_worker_without_a_reply(layout: RunLayout, worker: Says) -> None:
    worker((ready(Place.REMOTE),))
    assert len(NativeRunner(layout).workers((0, 1))) == 1
    assert worker_indices(("triton", "extproc-0", "extproc-1", "envoy")) == (0, 1)


def test_ignores_a_reply_of_another_version(worker: Says, layout: RunLayout) -> None:
    worker(b'{"models": []}')
    assert NativeRunner(layout).workers((0,)) == ()
