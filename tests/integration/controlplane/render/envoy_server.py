"""A real Envoy with rendered files, and an upstream server."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

from controlplane.compile.plans import EnvoyPlan
from controlplane.render.gateway_files import FORGED_HEADERS, render_envoy
from controlplane.render.rendered_files import RenderedFile, RenderedFiles
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import run_directory
from tests.integration.controlplane.render.test_gateway_files import binary
from tests.support.raw_http import exchange


class Api(BaseHTTPRequestHandler):
    """Echoes the request, with the number of requests to its path.

    /slow... takes longer than an attempt may, /slow-once... the first time only, /503/n... answers 503 n times.
    `answer_status`, `answer_body` and `answer_headers` are what it answers otherwise, where they are set.
    """

    protocol_version = "HTTP/1.1"
    calls: ClassVar[Counter[str]] = Counter()
    answer_status: ClassVar[int] = 200
    answer_body: ClassVar[bytes | None] = None
    answer_headers: ClassVar[dict[str, str]] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.calls[self.path] += 1
        number = self.calls[self.path]
        if self.path.startswith("/slow") and (number == 1 or "once" not in self.path):
            time.sleep(1)
        failing = int(self.path.split("/")[2]) if self.path.startswith("/503/") else 0
        got = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}
        answer = json.dumps({**got, "number": number, "bytes": len(body)}).encode()
        answer = answer if self.answer_body is None else self.answer_body
        self.send_response(503 if number <= failing else self.answer_status)
        for name, value in self.answer_headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer)))
        for name in ("x-archgw-local-reply", *FORGED_HEADERS):
            self.send_header(name, "forged")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Gateway:
    layout: RunLayout
    listeners: dict[str, int]

    def public(self, listener: str, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """Send a request. In names of `headers`, `_` becomes `-`. The default content type is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.listeners[listener], timeout=10)
        return _send(connection, method, path, body, {"content_type": "application/json", **headers})

    def raw(self, listener: str, request: bytes) -> bytes:
        """Send raw bytes and return the response, read until it is complete or Envoy closes the connection."""
        return exchange(f"http://127.0.0.1:{self.listeners[listener]}", request)

    def internal(self, upstream: str, path: str, body: bytes = b"{}", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("internal", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.layout.internal_socket))
        return _send(connection, "POST", path, body, {"x-arch-upstream": upstream, **headers})

    def access(self, request_id: str) -> dict[str, Any]:
        """Return the access log line of a request."""
        deadline = time.monotonic() + 30
        while True:
            for line in (self.layout.logs / "envoy.log").read_text().splitlines():
                if f'"request_id":"{request_id}"' in line:
                    found: dict[str, Any] = json.loads(line)
                    return found
            assert time.monotonic() < deadline, "no line"
            time.sleep(0.05)


def _send(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: dict[str, str]
) -> Reply:
    try:
        connection.request(
            method, path, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )
        response = connection.getresponse()
        text = response.read()
        return Reply(
            response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(text) if text else None
        )
    finally:
        connection.close()


@contextmanager
def running(
    plan: EnvoyPlan,
    trusted: bytes = b"",
    change: Callable[[dict[str, RenderedFile]], Mapping[str, RenderedFile]] = dict,
) -> Iterator[Gateway]:
    """Run Envoy on the files of `plan` after `change`. `trusted`: certificate authorities in PEM."""
    with tempfile.TemporaryDirectory(prefix="ag-") as folder:
        layout = run_directory.run_layout(Path(folder))
        run_directory.create(layout)
        authorities = layout.root / "ca.pem"
        authorities.write_bytes(trusted)
        RenderedFiles(change(render_envoy(plan, layout, 75_000, authorities))).write(layout.root)
        argv = [str(binary()), "-c", str(layout.bootstrap), "--reject-unknown-dynamic-fields", "--disable-hot-restart"]
        argv += ["--file-flush-interval-msec", "50"]
        with (layout.logs / "envoy.log").open("wb") as log:
            process = subprocess.Popen([*argv, "--concurrency", "1", "-l", "warning"], stdout=log, stderr=log)
            try:
                listeners = {listener.name: listener.address.port for listener in plan.listeners}
                for port in listeners.values():
                    _wait_listening(port, process, layout)
                yield Gateway(layout, listeners)
            finally:
                process.terminate()
                process.wait(10)
        # If a Lua script fails, Envoy only logs it and passes the response on.
        assert "script log" not in (layout.logs / "envoy.log").read_text()


def _wait_listening(port: int, process: subprocess.Popen[bytes], layout: RunLayout) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, (layout.logs / "envoy.log").read_text()
            assert time.monotonic() < deadline, (layout.logs / "envoy.log").read_text()
            time.sleep(0.05)
        else:
            return
