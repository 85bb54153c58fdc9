"""Rendered files in a real Envoy with no filter behind it: what it refuses, what it lets pass, what it says."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from controlplane.compile.plans import Address, EndpointRoute, Listener, Upstream
from controlplane.render.files import Rendered, render_envoy
from controlplane.runtime import place, ports
from controlplane.runtime.layout import RunLayout
from tests.unit.controlplane.render.plans import plan
from tests.unit.controlplane.render.test_files import binary


class Api(BaseHTTPRequestHandler):
    """Answers with what it got; /slow takes longer than its route allows."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/slow":
            time.sleep(1)
        answer = json.dumps({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.send_header("x-archgw-local-reply", "forged")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent."""


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
        connection = http.client.HTTPConnection("127.0.0.1", self.listeners[listener], timeout=10)
        return _send(connection, method, path, body, headers)

    def internal(self, upstream: str, path: str, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("internal", timeout=10)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.layout.internal_socket))
        return _send(connection, "POST", path, b"{}", {"x-arch-upstream": upstream, **headers})


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


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def apis(authority: trustme.CA) -> Iterator[dict[str, int]]:
    """A plain server, and one whose certificate is for api.test."""
    plain, secure = (ThreadingHTTPServer(("127.0.0.1", 0), Api) for _ in range(2))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.test").configure_cert(context)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    servers = {"plain": plain, "secure": secure}
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in servers.values()]
    for thread in threads:
        thread.start()
    yield {name: server.server_address[1] for name, server in servers.items()}
    for server in servers.values():
        server.shutdown()
        server.server_close()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def gateway(apis: dict[str, int], authority: trustme.CA) -> Iterator[Gateway]:
    ingress, egress, closed = ports.free(3)

    def endpoint(name: str, port: int, tls: str | None = None) -> EndpointRoute:
        upstream = Upstream(f"endpoint_{name}", (Address("127.0.0.1", port),), 1000, tls)
        return EndpointRoute(name, upstream, f"{name}.internal", 300)

    subject = replace(
        plan(),
        listeners=(
            Listener("ingress", Address("127.0.0.1", ingress)),
            Listener("egress", Address("127.0.0.1", egress)),
        ),
        endpoints=(
            endpoint("plain", apis["plain"]),
            endpoint("secure", apis["secure"], "api.test"),
            endpoint("imposter", apis["secure"], "other.test"),
            endpoint("closed", closed),
        ),
    )
    with tempfile.TemporaryDirectory(prefix="ag-") as folder:
        layout = place.run_layout(Path(folder))
        place.make(layout)
        trusted = layout.root / "ca.pem"
        authority.cert_pem.write_to_path(str(trusted))
        Rendered(render_envoy(subject, layout, 75_000, trusted)).write(layout.root)
        argv = [str(binary()), "-c", str(layout.bootstrap), "--reject-unknown-dynamic-fields", "--disable-hot-restart"]
        with (layout.logs / "envoy.log").open("wb") as log:
            process = subprocess.Popen([*argv, "--concurrency", "1", "-l", "warning"], stdout=log, stderr=log)
            try:
                _wait_listening(egress, process, layout)
                yield Gateway(layout, {"ingress": ingress, "egress": egress})
            finally:
                process.terminate()
                process.wait(10)


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


@pytest.mark.parametrize("listener", ["ingress", "egress"])
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing?key=value", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("POST", "/v1%2fchat/completions", 400, "invalid_request"),
        # No filter: nothing passes unread.
        ("POST", "/v1/chat/completions", 503, "gateway_unavailable"),
        ("GET", "/healthz", 503, "gateway_unavailable"),
    ],
)
def test_what_envoy_says_itself_is_an_openai_error(  # noqa: PLR0917 - one a column of the table
    gateway: Gateway, listener: str, method: str, path: str, status: int, code: str
) -> None:
    reply = gateway.public(listener, method, path)
    assert (reply.status, reply.body["error"]["code"]) == (status, code)
    assert set(reply.body["error"]) == {"message", "type", "code", "param"}
    assert reply.headers["content-type"] == "application/json"


def test_a_wrong_method_is_told_the_right_one(gateway: Gateway) -> None:
    assert gateway.public("ingress", "PUT", "/v1/chat/completions").headers["allow"] == "POST"
    assert gateway.public("ingress", "PUT", "/healthz").headers["allow"] == "GET"


def test_a_body_over_the_limit_is_refused_before_the_filter(gateway: Gateway) -> None:
    reply = gateway.public("ingress", "POST", "/v1/chat/completions", b"x" * 2000)
    assert (reply.status, reply.body["error"]["code"]) == (413, "request_too_large")


def test_a_client_cannot_choose_the_upstream(gateway: Gateway) -> None:
    for path in ("/v1/chat/completions", "/v1/models"):
        reply = gateway.public("ingress", "POST", path, x_arch_upstream="provider_openai")
        assert reply.body["error"]["code"] in {"gateway_unavailable", "not_found"}
        assert "x-arch-llm-provider" not in reply.headers


def test_request_ids_are_the_callers_on_egress_and_ours_on_ingress(gateway: Gateway) -> None:
    assert gateway.public("egress", "GET", "/x", x_request_id="mine").headers["x-request-id"] == "mine"
    assert gateway.public("ingress", "GET", "/x", x_request_id="mine").headers["x-request-id"] not in {"mine", ""}


def test_an_endpoint_gets_its_host_and_no_header_of_the_gateways_own(gateway: Gateway) -> None:
    reply = gateway.internal("endpoint_plain", "/weather", x_request_id="r1", x_arch_prompt_target="weather")
    got = reply.body["headers"]
    assert (reply.status, reply.body["path"], got["host"], got["x-request-id"]) == (
        200,
        "/weather",
        "plain.internal",
        "r1",
    )
    assert got["x-arch-prompt-target"] == "weather"
    assert not {name for name in got if name.startswith("x-envoy-")} | ({"x-arch-upstream"} & set(got))


def test_an_endpoint_cannot_pass_for_envoy(gateway: Gateway) -> None:
    assert "x-archgw-local-reply" not in gateway.internal("endpoint_plain", "/").headers


def test_a_certificate_is_verified_by_authority_and_name(gateway: Gateway) -> None:
    assert gateway.internal("endpoint_secure", "/").status == 200
    reply = gateway.internal("endpoint_imposter", "/")
    assert (reply.status, reply.body["error"]["code"]) == (503, "upstream_unavailable")
    assert "CERTIFICATE" not in str(reply.body)


@pytest.mark.parametrize(
    ("upstream", "path", "status", "code"),
    [
        ("endpoint_closed", "/", 503, "upstream_unavailable"),
        ("endpoint_plain", "/slow", 504, "upstream_timeout"),
        ("endpoint_unknown", "/", 404, "not_found"),
    ],
)
def test_envoys_own_replies_name_themselves_to_the_filter(
    gateway: Gateway, upstream: str, path: str, status: int, code: str
) -> None:
    reply = gateway.internal(upstream, path)
    assert (reply.status, reply.body["error"]["code"], reply.headers["x-archgw-local-reply"]) == (status, code, code)


def test_the_key_is_in_no_admin_page(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("admin", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(gateway.layout.admin_socket))
    connection.request("GET", "/config_dump")
    dump = connection.getresponse().read().decode()
    connection.close()
    assert "provider_openai" in dump
    assert "sk-very-secret" not in dump
