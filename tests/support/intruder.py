"""Another user of the machine, who tries all sockets, files and ports of a gateway.

`python -m tests.support.intruder` is started as root by `tests/dataplane/test_isolation.py`, reads a `Task` from
stdin, becomes that user and writes its `Findings` to stdout. It imports everything first, since the interpreter's
folders may be closed to other users.
"""

from __future__ import annotations

import base64
import encodings.idna  # noqa: F401 - of a name, which is looked up when somebody connects
import http.client
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import grpc
import msgspec
from tritonclient.grpc import service_pb2, service_pb2_grpc

NOBODY: Final = 65534

_TIMEOUT_S: Final = 3
_MODEL: Final = "guard"
_CODE: Final = base64.b64encode(b"import os; os.system('id > /tmp/archgw-was-here')").decode()
_OVERRIDE: Final = {"config": json.dumps({"backend": "python", "max_batch_size": 1}), "file:1/model.py": _CODE}

_ADMIN: Final = (
    *(("GET", path) for path in ("/", "/config_dump", "/clusters", "/stats", "/server_info", "/certs", "/listeners")),
    *(("POST", path) for path in ("/quitquitquit", "/healthcheck/fail", "/drain_listeners", "/logging?level=trace")),
    ("POST", "/runtime_modify?overload.global_downstream_max_connections=0"),
)
_TRITON: Final[tuple[tuple[str, str, object], ...]] = (
    ("POST", f"/v2/repository/models/{_MODEL}/load", {"parameters": _OVERRIDE}),
    ("POST", f"/v2/repository/models/{_MODEL}/unload", {}),
    ("POST", "/v2/repository/index", {}),
    ("GET", f"/v2/models/{_MODEL}/config", None),
    ("GET", f"/v2/models/{_MODEL}/stats", None),
    ("GET", "/v2/health/ready", None),
    (
        "POST",
        f"/v2/models/{_MODEL}/infer",
        {"inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": "x"}]},
    ),
    ("POST", "/v2/models/chat/generate", {"REQUEST": "{}"}),
    ("POST", "/v2/systemsharedmemory/region/x/register", {"key": "/x", "offset": 0, "byte_size": 8}),
    ("GET", "/v2/systemsharedmemory/status", None),
    ("GET", "/v2/cudasharedmemory/status", None),
    ("POST", "/v2/trace/setting", {"trace_file": "/tmp/archgw-trace", "trace_level": ["TENSORS"]}),  # noqa: S108
    ("POST", "/v2/logging", {"log_verbose_level": 9}),
    ("GET", "/metrics", None),
)
_SUPERVISOR: Final = "<methodCall><methodName>supervisor.shutdown</methodName></methodCall>"
# Headers of a program, of a browser that runs another site's page, and of a user who knows the gateway.
_HEADERS: Final[tuple[Mapping[str, str], ...]] = (
    {"content-type": "application/json"},
    {"content-type": "text/plain", "host": "evil.example", "origin": "https://evil.example"},
    {"content-type": "application/json", "x-arch-upstream": "provider_local", "x-archgw-listener": "internal"},
)


class Task(msgspec.Struct, kw_only=True):
    """`folder`: paths are relative to it. Access to the folder itself is not tested."""

    uid: int
    folder: str
    sockets: list[str] = []
    files: list[str] = []
    ports: list[int] = []


class Findings(msgspec.Struct, kw_only=True):
    """Sockets and files that were opened, and requests that got another answer than an error."""

    sockets: list[str]
    files: list[str]
    answers: list[str]


def try_all(task: Task) -> Findings:
    """Becomes the user, and tries everything."""
    os.chdir(task.folder)
    if task.uid:
        os.setgroups([])
        os.setgid(task.uid)
        os.setuid(task.uid)
    return Findings(
        sockets=[path for path in task.sockets if _connects(path)],
        files=[path for path in task.files if _opens(path)],
        answers=[answer for port in task.ports for answer in (*_http(port), *_grpc(f"127.0.0.1:{port}"))],
    )


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
        return True


def _opens(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def _http(port: int) -> Iterator[str]:
    requests = (
        *((method, path, None) for method, path in _ADMIN),
        *((method, path, body if body is None else json.dumps(body)) for method, path, body in _TRITON),
        ("POST", "/RPC2", _SUPERVISOR),
    )
    for headers in _HEADERS:
        for method, path, body in requests:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
            try:
                connection.request(method, path, body, dict(headers))
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException):
                continue
            finally:
                connection.close()
            if status < http.client.BAD_REQUEST:
                yield f"{method} {port}{path}: {status}"


def _grpc(address: str) -> Iterator[str]:
    with grpc.insecure_channel(address) as channel:
        for name, answer in grpc_calls(channel).items():
            if answer is None:
                yield f"{name} {address}"


def grpc_calls(channel: grpc.Channel) -> dict[str, str | None]:
    """Returns the error of each gRPC call that changes Triton, None for a call that succeeds."""
    form = service_pb2.ModelRepositoryParameter
    override = {
        "config": form(string_param=_OVERRIDE["config"]),
        "file:1/model.py": form(bytes_param=base64.b64decode(_CODE)),
    }
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    calls: dict[str, tuple[Any, Any]] = {
        "load": (
            stub.RepositoryModelLoad,
            service_pb2.RepositoryModelLoadRequest(model_name=_MODEL, parameters=override),
        ),
        "unload": (stub.RepositoryModelUnload, service_pb2.RepositoryModelUnloadRequest(model_name=_MODEL)),
        **closed_calls(stub),
    }
    return {name: _call_error(method, request) for name, (method, request) in calls.items()}


def closed_calls(stub: Any) -> dict[str, tuple[Any, Any]]:
    """Returns calls that no client needs, by name: each a method and its request."""
    region = service_pb2.SystemSharedMemoryRegisterRequest(name="x", key="/x", byte_size=8)
    trace = service_pb2.TraceSettingRequest(settings={"trace_file": {"value": ["/tmp/archgw-trace"]}})  # noqa: S108
    return {
        "register shared memory": (stub.SystemSharedMemoryRegister, region),
        "list shared memory": (stub.SystemSharedMemoryStatus, service_pb2.SystemSharedMemoryStatusRequest()),
        "list CUDA shared memory": (stub.CudaSharedMemoryStatus, service_pb2.CudaSharedMemoryStatusRequest()),
        "set traces": (stub.TraceSetting, trace),
        "set logs": (
            stub.LogSettings,
            service_pb2.LogSettingsRequest(settings={"log_verbose_level": {"uint32_param": 9}}),
        ),
    }


def _call_error(method: Any, request: Any) -> str | None:
    try:
        method(request, timeout=_TIMEOUT_S)
    except grpc.RpcError as error:
        return str(error.details())
    return None


def refusals(channel: grpc.Channel) -> dict[str, str | None]:
    """Like `grpc_calls`, for calls that change nothing if they succeed."""
    calls = closed_calls(service_pb2_grpc.GRPCInferenceServiceStub(channel))
    return {name: _call_error(method, request) for name, (method, request) in calls.items()}


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(try_all(msgspec.json.decode(sys.stdin.buffer.read(), type=Task))))
