"""The gateway: its listeners, its health, and the filter config that it is made of."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from extproc.decision import Decision, Forward, HttpRequest, Reply, RequestSummary
from extproc.endpoints.endpoint import Endpoint
from extproc.errors import GuardUnavailable, MethodNotAllowed, ModelNotFound, NotFound, UnsupportedEncoding
from extproc.gateway import Gateway, open_gateway
from extproc.inference import deadline
from extproc.pipeline.egress import Egress
from extproc.shared.filter_config import (
    VERSION,
    Backend,
    FilterConfig,
    Guard,
    Inference,
    Intent,
    Listener,
    Place,
    Prompting,
    Provider,
    RoleBackends,
    Schema,
    Server,
    UnknownModel,
    dump,
    load,
)
from extproc.shared.roles import Role
from tests.unit.extproc.fakes import target

# A port that nothing listens on: privileged, and reserved.
ROLES = (Role.EMBED, Role.FUNCTION, Role.CHAT)
NOBODY = Inference(
    servers={Place.LOCAL: Server(address="127.0.0.1:1")},
    roles={role: RoleBackends(backends=(Backend(place=Place.LOCAL, model=role),), timeout_ms=500) for role in ROLES},
    models_timeout_ms=1000,
)
OPENAI = Provider(name="openai", model="gpt", schema=Schema.OPENAI, cluster="provider_openai", default=True)
EGRESS_ONLY = FilterConfig(version=VERSION, providers=(OPENAI,), max_request_bytes=1000, internal_socket="/nowhere")
BOTH = FilterConfig(
    version=VERSION,
    providers=(OPENAI,),
    max_request_bytes=1000,
    internal_socket="/nowhere",
    inference=NOBODY,
    prompting=Prompting(intent=Intent(threshold=0.5), targets=(target("weather"),)),
)


def request(path: str, method: str = "POST", listener: str = "egress") -> HttpRequest:
    body = b'{"messages":[{"role":"user","content":"hi"}]}'
    return HttpRequest(listener, method, path, {}, body, "id")


async def test_egress_needs_no_model() -> None:
    async with open_gateway(BOTH) as gateway:
        assert isinstance(await gateway.decide(request("/v1/chat/completions")), Forward)


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "gzip, identity", "x-unknown"])
@pytest.mark.parametrize("listener", ["ingress", "egress"])
async def test_refuses_a_compressed_body(listener: str, encoding: str) -> None:
    compressed = dataclasses.replace(
        request("/v1/chat/completions", listener=listener), headers={"content-encoding": encoding}
    )
    async with open_gateway(BOTH) as gateway:
        with pytest.raises(UnsupportedEncoding, match="content-encoding"):
            await gateway.decide(compressed)


async def test_guards_only_the_listeners_that_the_filter_config_names() -> None:
    guard = Guard(name="jailbreak", role=Role.EMBED, threshold=0.5, message="No.")
    guarded = replace(BOTH, guards={Listener.EGRESS: (guard,)})
    async with open_gateway(guarded) as gateway:
        with pytest.raises(GuardUnavailable):
            await gateway.decide(request("/v1/chat/completions"))
    async with open_gateway(replace(guarded, guards={Listener.INGRESS: (guard,)})) as gateway:
        assert isinstance(await gateway.decide(request("/v1/chat/completions")), Forward)
        with pytest.raises(GuardUnavailable):
            await gateway.decide(request("/v1/chat/completions", listener="ingress"))


@pytest.mark.parametrize("listener", ["ingress", "egress"])
async def test_an_unknown_model_is_an_error_if_the_filter_config_says_so(listener: str) -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}],"model":"gpt-5"}'
    http_request = dataclasses.replace(request("/v1/chat/completions", listener=listener), body=body)
    async with open_gateway(BOTH) as gateway:
        assert isinstance(await gateway.decide(http_request), Forward)
    async with open_gateway(replace(BOTH, unknown_model=UnknownModel.ERROR)) as gateway:
        with pytest.raises(ModelNotFound):
            await gateway.decide(http_request)


class Watching(Egress):
    """Decides as egress does, and sees what is left of the budget."""

    async def decide(self, request: HttpRequest, endpoint: Endpoint) -> Decision:
        left = deadline.remaining_s()
        assert left is not None
        assert 0.5 < left <= 1.0
        return await super().decide(request, endpoint)


async def test_all_model_calls_of_a_request_share_one_deadline() -> None:
    async with open_gateway(BOTH) as gateway:
        own = gateway.egress
        watched = dataclasses.replace(gateway, egress=Watching(own.providers, own.stages, own.timeout_s))
        assert isinstance(await watched.decide(request("/v1/chat/completions")), Forward)
        assert deadline.remaining_s() is None


async def test_health_names_what_is_not_ready() -> None:
    async with open_gateway(BOTH) as gateway:
        reply = await gateway.decide(request("/healthz", "GET"))
    assert isinstance(reply, Reply)
    assert reply.status == 503
    assert json.loads(reply.body)["not_ready"].keys() == {"embed", "function", "chat", "targets"}


async def test_a_gateway_without_ingress_waits_for_no_model() -> None:
    async with open_gateway(EGRESS_ONLY) as gateway:
        reply = await gateway.decide(request("/healthz", "GET"))
    assert isinstance(reply, Reply)
    assert reply.status == 200


@pytest.mark.parametrize(
    ("http_request", "error"),
    [
        (request("/v1/models"), NotFound),
        (request("/v1/chat/completions", "GET"), MethodNotAllowed),
        (request("/healthz", "POST"), MethodNotAllowed),
        (request("/v1/chat/completions", listener="ingress"), NotFound),
        (request("/v1/chat/completions", listener=""), NotFound),
    ],
)
async def test_refuses_other_paths_methods_and_listeners(http_request: HttpRequest, error: type[Exception]) -> None:
    async with open_gateway(EGRESS_ONLY) as gateway:
        with pytest.raises(error):
            await gateway.decide(http_request)


async def test_a_failed_watch_task_ends_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("extproc.inference.health.watch", fail)
    with pytest.raises(ExceptionGroup):
        async with open_gateway(BOTH) as gateway:
            assert isinstance(gateway, Gateway)
            await asyncio.sleep(30)


def test_loads_a_dumped_filter_config_and_refuses_another_version(tmp_path: Path) -> None:
    path = tmp_path / "filter.json"
    path.write_bytes(dump(BOTH))
    assert load(path) == BOTH
    path.write_bytes(dump(BOTH).replace(f'"version": {VERSION}'.encode(), b'"version": 999'))
    with pytest.raises(ValueError, match="version 999"):
        load(path)
    path.write_bytes(dump(BOTH).replace(b'"version"', b'"unheard_of": 1, "version"'))
    with pytest.raises(ValueError, match="unheard_of"):
        load(path)


@pytest.mark.parametrize("watched", [False, True])
async def test_responses_pass_through_the_filter_if_they_are_watched(watched: bool) -> None:
    async with open_gateway(replace(EGRESS_ONLY, watch_answers=watched)) as gateway:
        decision = await gateway.decide(request("/v1/chat/completions"))
    assert isinstance(decision, Forward)
    assert (decision.edit is not None) is watched


async def test_a_response_that_is_edited_knows_its_request() -> None:
    http = dataclasses.replace(request("/v1/chat/completions"), client="1.2.3.4")
    async with open_gateway(replace(EGRESS_ONLY, watch_answers=True)) as gateway:
        decision = await gateway.decide(http)
    assert isinstance(decision, Forward)
    assert decision.edit is not None
    assert decision.edit.request == RequestSummary(
        path="/v1/chat/completions", listener="egress", request_id="id", client="1.2.3.4"
    )
