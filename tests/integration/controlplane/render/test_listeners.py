"""Rendered files in a real Envoy without a filter: refused requests, passed requests, error messages."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import ThreadingHTTPServer

import pytest
import trustme

from controlplane.compile.plans import Address, ApiCluster, CallRoute, Credential, Upstream
from controlplane.runtime import ports
from tests.integration.controlplane.render.envoy_server import Api, Gateway, running
from tests.unit.controlplane.render.plans import HEADER, listener, plan


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def apis(authority: trustme.CA) -> Iterator[dict[str, int]]:
    """A plain server, and a TLS server with a certificate for api.test."""
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

    def api(name: str, port: int, tls: str | None = None, headers: tuple[Credential, ...] = ()) -> ApiCluster:
        return ApiCluster(Upstream(f"endpoint_{name}", (Address("127.0.0.1", port),), 1000, tls), headers)

    apis_plan = (
        api("plain", apis["plain"]),
        api("secure", apis["secure"], "api.test"),
        api("imposter", apis["secure"], "other.test"),
        api("closed", closed),
        api(
            "secretive",
            apis["plain"],
            headers=(
                Credential("target_secretive:authorization", "authorization", "", HEADER),
                Credential("target_secretive:x-team", "x-team", "", "a, b 100%REQ(:path)%"),
            ),
        ),
    )

    def call(name: str, cluster: str, retries: int = 0) -> CallRoute:
        return CallRoute(
            f"target_{name}",
            f"endpoint_{cluster}",
            f"{cluster}.internal",
            attempt_ms=300,
            timeout_ms=300 * (retries + 1) + 250 * retries,
            retries=retries,
            path="/orders/{order_id}",
        )

    subject = replace(
        plan(),
        listeners=(listener("ingress", ingress), listener("egress", egress)),
        apis=apis_plan,
        max_request_bytes=2_000_000,
        calls=(
            *(call(name, name) for name in ("plain", "secure", "imposter", "closed", "secretive")),
            call("persistent", "plain", retries=2),
            call("persistent_secretive", "secretive", retries=2),
        ),
    )
    with running(subject, authority.cert_pem.bytes()) as gateway:
        yield gateway


@pytest.mark.parametrize("listener", ["ingress", "egress"])
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing?key=value", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
        ("POST", "/v1%2fchat/completions", 400, "invalid_request"),
        # Without a filter, no request passes.
        ("POST", "/v1/chat/completions", 503, "gateway_unavailable"),
        ("GET", "/healthz", 503, "gateway_unavailable"),
    ],
)
def test_envoys_own_replies_are_openai_errors(  # noqa: PLR0917 - one a column of the table
    gateway: Gateway, listener: str, method: str, path: str, status: int, code: str
) -> None:
    reply = gateway.public(listener, method, path)
    assert (reply.status, reply.body["error"]["code"]) == (status, code)
    assert set(reply.body["error"]) == {"message", "type", "code", "param"}
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("listener", ["ingress", "egress"])
@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 503),
        ("Application/JSON; charset=UTF-8", 503),
        ('application/json;charset="utf-8"', 503),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("text/plain;application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("application/json, text/plain", 415),
        ("", 415),
    ],
)
def test_rejects_other_media_types_than_json(gateway: Gateway, listener: str, media_type: str, status: int) -> None:
    reply = gateway.public(listener, "POST", "/v1/chat/completions", b"{}", content_type=media_type)
    # Without a filter, an accepted request gets 503.
    assert reply.status == status
    if status == 415:
        assert reply.body["error"]["code"] == "unsupported_media_type"
        assert "content-type: application/json" in reply.body["error"]["message"]


def test_rejects_a_request_without_a_media_type(gateway: Gateway) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
    assert gateway.raw("egress", head).startswith(b"HTTP/1.1 415")


def test_access_log_has_the_path_template_of_an_api_call(gateway: Gateway) -> None:
    reply = gateway.internal("target_plain", "/orders/4711?card=1234", x_request_id="of-an-order")
    assert reply.body["path"] == "/orders/4711?card=1234"
    line = gateway.access("of-an-order")
    assert (line["path"], line["route"]) == ("/orders/{order_id}", "target_plain")
    assert "4711" not in str(line)


def test_wrong_method_gets_an_allow_header(gateway: Gateway) -> None:
    assert gateway.public("ingress", "PUT", "/v1/chat/completions").headers["allow"] == "POST"
    assert gateway.public("ingress", "PUT", "/healthz").headers["allow"] == "GET, HEAD"


def test_too_large_body_never_reaches_the_filter(gateway: Gateway) -> None:
    reply = gateway.public("ingress", "POST", "/v1/chat/completions", b"x" * 2_000_001)
    assert (reply.status, reply.body["error"]["code"]) == (413, "request_too_large")


def test_client_cannot_choose_the_upstream(gateway: Gateway) -> None:
    for path in ("/v1/chat/completions", "/v1/models"):
        reply = gateway.public("ingress", "POST", path, x_arch_upstream="provider_openai")
        assert reply.body["error"]["code"] in {"gateway_unavailable", "not_found"}
        assert "x-arch-llm-provider" not in reply.headers


def test_keeps_client_request_ids_on_egress_only(gateway: Gateway) -> None:
    assert gateway.public("egress", "GET", "/x", x_request_id="mine").headers["x-request-id"] == "mine"
    assert gateway.public("ingress", "GET", "/x", x_request_id="mine").headers["x-request-id"] not in {"mine", ""}


def test_endpoint_gets_its_host_and_no_gateway_headers(gateway: Gateway) -> None:
    reply = gateway.internal("target_plain", "/weather", x_request_id="r1", x_arch_prompt_target="weather")
    got = reply.body["headers"]
    assert (reply.status, reply.body["path"], got["host"], got["x-request-id"]) == (
        200,
        "/weather",
        "plain.internal",
        "r1",
    )
    assert got["x-arch-prompt-target"] == "weather"
    assert not {name for name in got if name.startswith("x-envoy-")} | ({"x-arch-upstream"} & set(got))


def test_endpoint_cannot_imitate_an_envoy_reply(gateway: Gateway) -> None:
    assert "x-archgw-local-reply" not in gateway.internal("target_plain", "/").headers


def test_verifies_certificate_authority_and_name(gateway: Gateway) -> None:
    assert gateway.internal("target_secure", "/").status == 200
    reply = gateway.internal("target_imposter", "/")
    assert (reply.status, reply.body["error"]["code"]) == (503, "upstream_unavailable")
    assert "CERTIFICATE" not in str(reply.body)


@pytest.mark.parametrize(
    ("upstream", "path", "status", "code"),
    [
        ("target_closed", "/", 503, "upstream_unavailable"),
        ("target_plain", "/slow", 504, "upstream_timeout"),
        ("target_unknown", "/", 404, "not_found"),
    ],
)
def test_marks_envoys_own_replies_for_the_filter(
    gateway: Gateway, upstream: str, path: str, status: int, code: str
) -> None:
    reply = gateway.internal(upstream, path)
    assert (reply.status, reply.body["error"]["code"], reply.headers["x-archgw-local-reply"]) == (status, code, code)


def test_adds_target_headers_only_to_calls_of_that_target(gateway: Gateway) -> None:
    got = gateway.internal("target_secretive", "/", authorization="forged", x_team="forged").body["headers"]
    assert (got["authorization"], got["x-team"]) == (HEADER, "a, b 100%REQ(:path)%")
    assert not {"authorization", "x-team"} & set(gateway.internal("target_plain", "/").body["headers"])


@pytest.mark.parametrize(("upstream", "calls"), [("target_plain", 1), ("target_persistent", 3)])
def test_retries_an_api_call_only_if_the_target_allows_it(gateway: Gateway, upstream: str, calls: int) -> None:
    path = f"/503/99/{upstream}"
    reply = gateway.internal(upstream, path)
    # The API's own response, not Envoy's.
    assert (reply.status, reply.body["number"], Api.calls[path]) == (503, calls, calls)
    assert "x-archgw-local-reply" not in reply.headers


def test_retried_call_has_the_same_body_and_headers(gateway: Gateway) -> None:
    # Larger than Envoy's default retry buffer.
    reply = gateway.internal("target_persistent_secretive", "/503/1/large", b"x" * 3_000_000)
    assert (reply.status, reply.body["number"], reply.body["bytes"]) == (200, 2, 3_000_000)
    assert reply.body["headers"]["authorization"] == HEADER


def test_retries_a_slow_attempt_with_the_full_attempt_timeout(gateway: Gateway) -> None:
    reply = gateway.internal("target_persistent", "/slow-once")
    assert (reply.status, reply.body["number"]) == (200, 2)
    reply = gateway.internal("target_persistent", "/slow-persistent")
    assert (reply.status, reply.body["error"]["code"]) == (504, "upstream_timeout")
    assert Api.calls["/slow-persistent"] == 3


def test_no_admin_page_shows_the_key(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("admin", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(gateway.layout.admin_socket))
    connection.request("GET", "/config_dump?include_eds")
    dump = connection.getresponse().read().decode()
    connection.close()
    assert "provider_openai" in dump
    assert "target_secretive" in dump
    assert "very-secret" not in dump
