"""Requests to a remote Triton: KServe v2 through a real Envoy's internal listener to TLS servers."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from tritonclient.grpc import service_pb2, service_pb2_grpc

from controlplane.compile.plans import Address, RemoteTriton
from controlplane.runtime import ports
from tests.integration.controlplane.render.envoy_server import Api, Gateway, running
from tests.unit.controlplane.render.plans import KEY, listener, plan, remote

NAME = "triton.test"
METADATA = (("x-arch-upstream", "triton_remote"),)


class Triton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers each inference with its own name, after a delay, if the key is right."""

    def __init__(self, name: str, header: str, key: str) -> None:
        self.name = name
        self.header, self.key = header, key
        self.calls: Counter[str] = Counter()
        self.headers: dict[str, str] = {}

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - gRPC's name
        self.calls[request.model_name] += 1
        self.headers = {key: str(value) for key, value in context.invocation_metadata()}
        if self.headers.get(self.header) != self.key:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        if request.model_name == "busy" and self.calls["busy"] == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "just now")
        if request.model_name == "slow":
            time.sleep(1)
        return service_pb2.ModelInferResponse(model_name=request.model_name, id=self.name)


@dataclass(frozen=True)
class Authorities:
    """Certificates of a server and a client, and the files that a configuration names."""

    servers: trustme.CA
    clients: trustme.CA
    ca: Path
    cert: Path
    key: Path

    def at(self, *ports: int, scheme: str = "grpcs", header: str = "authorization", key: str = KEY) -> RemoteTriton:
        """Return a remote Triton with these ports."""
        subject = remote(scheme, header, key)
        addresses = tuple(Address("127.0.0.1", port) for port in ports)
        upstream = replace(subject.upstream, addresses=addresses, tls_server_name=NAME)
        return replace(subject, upstream=upstream, authority=NAME, ca=self.ca, cert=self.cert, key=self.key)


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    folder = tmp_path_factory.mktemp("tls")
    found = Authorities(trustme.CA(), trustme.CA(), folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    client = found.clients.issue_cert("gateway.test")
    found.servers.cert_pem.write_to_path(found.ca)
    client.cert_chain_pems[0].write_to_path(found.cert)
    client.private_key_pem.write_to_path(found.key)
    return found


@contextmanager
def serving(
    name: str, authorities: Authorities, header: str = "authorization", key: str = f"Bearer {KEY}"
) -> Iterator[tuple[Triton, grpc.Server, int]]:
    """A server with a certificate for `NAME` that requires client certificates."""
    triton = Triton(name, header, key)
    server = grpc.server(futures.ThreadPoolExecutor(16))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(triton, server)
    own = authorities.servers.issue_cert(NAME)
    credentials = grpc.ssl_server_credentials(
        [(own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes())],
        root_certificates=authorities.clients.cert_pem.bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield triton, server, port
    finally:
        server.stop(None).wait()


@contextmanager
def reaching(triton: RemoteTriton) -> Iterator[Gateway]:
    listeners = tuple(listener(name, port) for name, port in zip(("ingress", "egress"), ports.free(2), strict=True))
    subject = replace(plan(triton=triton), listeners=listeners, max_request_bytes=2_000_000)
    # The default authorities have signed none of these certificates.
    with running(subject, trustme.CA().cert_pem.bytes()) as gateway:
        yield gateway


def infer(gateway: Gateway, model: str = "guard", body: bytes = b"", timeout_s: float = 10) -> Any:
    with grpc.insecure_channel(f"unix:{gateway.layout.internal_socket}") as channel:
        return ask(channel, model, body, timeout_s)


def ask(channel: grpc.Channel, model: str = "guard", body: bytes = b"", timeout_s: float = 10) -> Any:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    request = service_pb2.ModelInferRequest(model_name=model, raw_input_contents=[body])
    return stub.ModelInfer(request, timeout=timeout_s, metadata=METADATA)


def failure(gateway: Gateway, **call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        infer(gateway, **call)
    error: Any = caught.value
    return error.code(), error.details()


def test_remote_triton_gets_the_key_and_the_client_certificate(authorities: Authorities) -> None:
    with (
        serving("one", authorities) as (triton, _, port),
        reaching(authorities.at(port)) as gateway,
    ):
        # Larger than Envoy's default retry buffer.
        assert infer(gateway, body=b"x" * 3_000_000).id == "one"
        assert triton.headers["authorization"] == f"Bearer {KEY}"
        assert not {name for name in triton.headers if name.startswith(("x-arch", "x-envoy", "x-forwarded"))}
        # Refused once, then retried: an inference is idempotent.
        assert infer(gateway, model="busy").id == "one"
        assert triton.calls["busy"] == 2
        code, _ = failure(gateway, model="slow", timeout_s=0.2)
        assert (code, triton.calls["slow"]) == (grpc.StatusCode.DEADLINE_EXCEEDED, 1)


@pytest.mark.parametrize(
    ("difference", "code", "words"),
    [
        ("authority", grpc.StatusCode.UNAVAILABLE, "CERTIFICATE_VERIFY_FAILED"),
        ("name", grpc.StatusCode.UNAVAILABLE, "certificate_SANs_are_[triton.test]"),
        ("certificate", grpc.StatusCode.UNAVAILABLE, "connection failure"),
        ("key", grpc.StatusCode.UNAUTHENTICATED, "who are you?"),
        ("port", grpc.StatusCode.UNAVAILABLE, "Connection_refused"),
    ],
)
def test_filter_gets_the_reason_of_a_connection_failure(
    authorities: Authorities, tmp_path: Path, difference: str, code: grpc.StatusCode, words: str
) -> None:
    with serving("one", authorities) as (_, _, port):
        subject = authorities.at(port)
        match difference:
            case "authority":
                trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
                subject = replace(subject, ca=tmp_path / "other.pem")
            case "name":
                subject = replace(subject, upstream=replace(subject.upstream, tls_server_name="other.test"))
            case "certificate":
                subject = replace(subject, cert=None, key=None)
            case "key":
                subject = authorities.at(port, key="another")
            case _:
                subject = authorities.at(*ports.free(1))
        with reaching(subject) as gateway:
            found, details = failure(gateway)
            assert found is code
            assert words in details


def test_key_can_use_a_custom_header(authorities: Authorities) -> None:
    with (
        serving("one", authorities, "x-api-key", KEY) as (triton, _, port),
        reaching(authorities.at(port, header="x-api-key")) as gateway,
    ):
        assert infer(gateway).id == "one"
        assert "authorization" not in triton.headers


def test_no_call_fails_if_one_of_two_servers_stops(authorities: Authorities) -> None:
    with ExitStack() as stack:
        (one, ending, first), (other, _, second) = (
            stack.enter_context(serving(name, authorities)) for name in ("one", "other")
        )
        gateway = stack.enter_context(reaching(authorities.at(first, second)))
        channel = stack.enter_context(grpc.insecure_channel(f"unix:{gateway.layout.internal_socket}"))
        assert {ask(channel).id for _ in range(40)} == {"one", "other"}
        stop = threading.Event()

        def load() -> int:
            count = 0
            while not stop.is_set():
                ask(channel)
                count += 1
            return count

        with futures.ThreadPoolExecutor(4) as pool:
            loads = [pool.submit(load) for _ in range(4)]
            try:
                before = one.calls["guard"]
                while one.calls["guard"] < before + 20 and not any(each.done() for each in loads):
                    time.sleep(0.001)
                ending.stop(None).wait()
                after = other.calls["guard"]
                while other.calls["guard"] < after + 200 and not any(each.done() for each in loads):
                    time.sleep(0.001)
            finally:
                stop.set()
            # Raises if a call failed.
            assert all(each.result() for each in loads)


def test_http_calls_have_path_and_key_and_retry_503(
    authorities: Authorities,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authorities.servers.issue_cert(NAME).configure_cert(context)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Api) for _ in range(2)]
    threads = []
    for server in servers:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threads.append(threading.Thread(target=server.serve_forever, args=(0.05,)))
        threads[-1].start()
    subject = authorities.at(*(server.server_address[1] for server in servers), scheme="https")
    # Below this path, a server answers 503 once.
    subject = replace(subject, path_prefix="/503/1")
    try:
        with reaching(subject) as gateway:
            reply = gateway.internal("triton_remote", "/v2/models/guard/infer", b"x" * 3_000_000)
            assert (reply.status, reply.body["path"]) == (200, "/503/1/v2/models/guard/infer")
            assert (reply.body["number"], reply.body["bytes"]) == (2, 3_000_000)
            headers = reply.body["headers"]
            assert (headers["host"], headers["authorization"]) == (NAME, f"Bearer {KEY}")
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
