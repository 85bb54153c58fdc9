"""The behaviour of the mock servers: without their faults, data-plane tests would pass without testing anything."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import ssl
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx2
import openai
import pytest
import trustme

from tests.support.api_server import DEFAULT_TARGET_PATH, ApiServer
from tests.support.behaviour import CUT_BEFORE_ANSWER, CUT_HALFWAY, MALFORMED_JSON, NEVER, Behaviour
from tests.support.llm_provider import LlmProvider
from tests.support.received import Outcome, Received, ReceivedLog

PROMPT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture(scope="module")
def running() -> Iterator[LlmProvider]:
    with LlmProvider() as provider:
        yield provider


@pytest.fixture
def provider(running: LlmProvider) -> LlmProvider:
    running.reset()
    return running


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


async def post(provider: LlmProvider, body: dict[str, Any], *, path: str = "/v1/chat/completions") -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=5)
    async with (
        aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
        session.post(provider.url + path, json=body) as answer,
    ):
        return answer.status, await answer.read()


def sdk(provider: LlmProvider) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{provider.url}/any/prefix/v1", api_key="sk-test", max_retries=0)


def test_mock_listens_on_all_addresses(provider: LlmProvider) -> None:
    answer = httpx2.post(f"http://127.0.0.2:{provider.port}/v1/chat/completions", json=PROMPT)
    assert answer.status_code == 200


def test_sdk_reads_an_answer_and_the_request_is_recorded(provider: LlmProvider) -> None:
    with sdk(provider) as client:
        answer = client.chat.completions.create(model="m-1", messages=[{"role": "user", "content": "hello"}])

    assert answer.choices[0].message.content == "You said: hello"
    assert answer.model == "m-1"
    [received] = provider.received.wait(finished=True)
    assert received.path == "/any/prefix/v1/chat/completions"
    assert received.header("Authorization") == "Bearer sk-test"
    assert received.json()["messages"] == [{"role": "user", "content": "hello"}]
    assert received.outcome is Outcome.ANSWERED


def test_sdk_reads_a_stream_with_usage_only_on_request(provider: LlmProvider) -> None:
    with sdk(provider) as client:
        for options, usages in (({"include_usage": True}, 1), ({}, 0)):
            stream = client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": "a b"}],
                stream=True,
                extra_body={"stream_options": options},
            )
            chunks = list(stream)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            assert text == "You said: a b"
            assert sum(chunk.usage is not None for chunk in chunks) == usages
            assert chunks[-1 - usages].choices[0].finish_reason == "stop"


async def test_status_error_has_the_openai_body(provider: LlmProvider) -> None:
    provider.next(Behaviour(status=429, text="slow down", headers={"retry-after": "7"}))
    status, body = await post(provider, PROMPT)
    assert status == 429
    assert json.loads(body)["error"]["type"] == "rate_limit_error"
    assert (await post(provider, PROMPT))[0] == 200


async def test_first_byte_and_chunks_can_be_delayed(provider: LlmProvider) -> None:
    provider.next(Behaviour(first_byte_delay=0.2, chunk_delay=0.05, text="a b"))
    started = time.monotonic()
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{provider.url}/v1/chat/completions", json={**PROMPT, "stream": True}) as answer,
    ):
        times = [time.monotonic() - started async for line in answer.content if line.startswith(b"data: ")]
    assert times[0] >= 0.2
    assert times[-1] - times[0] >= 0.15


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", [CUT_BEFORE_ANSWER, CUT_HALFWAY])
async def test_cut_connection_is_a_broken_response(provider: LlmProvider, behaviour: Behaviour, stream: bool) -> None:
    provider.next(behaviour)
    with pytest.raises(aiohttp.ClientError):
        await post(provider, {**PROMPT, "stream": stream})
    [received] = provider.received.wait(finished=True)
    assert received.outcome is Outcome.CUT


@pytest.mark.parametrize("stream", [False, True])
async def test_answers_can_be_gzipped(provider: LlmProvider, stream: bool) -> None:
    provider.next(Behaviour(gzip=True))
    _, body = await post(provider, {**PROMPT, "stream": stream})
    assert b"You" in gzip.decompress(body)


async def test_chunks_split_events_anywhere(provider: LlmProvider) -> None:
    provider.next(Behaviour(text="Grüße"), Behaviour(text="Grüße", piece_bytes=1))
    whole = await post(provider, {**PROMPT, "stream": True})
    assert await post(provider, {**PROMPT, "stream": True}) == whole


async def test_mock_can_send_malformed_json_and_refuses_unknown_requests(provider: LlmProvider) -> None:
    provider.next(MALFORMED_JSON)
    status, body = await post(provider, PROMPT)
    assert status == 200
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(body)
    assert (await post(provider, PROMPT, path="/v1/embeddings"))[0] == 404
    assert (await post(provider, {"model": "m"}))[0] == 400


def test_large_answers_and_bodies_pass_unchanged(provider: LlmProvider) -> None:
    provider.next(Behaviour(text="x" * 20_000_000))
    with sdk(provider) as client:
        answer = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "y" * 9_000_000}])
    assert answer.choices[0].message.content == "x" * 20_000_000
    assert provider.received.all()[0].json()["messages"][0]["content"] == "y" * 9_000_000


async def test_hangs_until_the_client_disconnects(provider: LlmProvider) -> None:
    with provider.answering(NEVER):
        asking = asyncio.create_task(post(provider, PROMPT))
        await asyncio.to_thread(provider.received.wait)  # first: a caller that goes away sooner leaves no request
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asking, 0.2)
        [received] = await asyncio.to_thread(provider.received.wait, finished=True)
    assert received.outcome is Outcome.ABANDONED


async def test_rules_steer_concurrent_requests_apart(provider: LlmProvider) -> None:
    provider.on("marker-500", Behaviour(status=500))
    bad = {"messages": [{"role": "user", "content": "marker-500"}]}
    answers = await asyncio.gather(*(post(provider, bad if n % 2 else PROMPT) for n in range(20)))
    assert [status for status, _ in answers] == [200, 500] * 10


async def test_control_endpoints_work_from_another_process(provider: LlmProvider) -> None:
    async with aiohttp.ClientSession(provider.url) as session:
        await session.post("/_control/next", json={"status": 500})
        assert (await post(provider, PROMPT))[0] == 500
        async with session.get("/_control/requests") as answer:
            assert [request["path"] for request in await answer.json()] == ["/v1/chat/completions"]
        await session.delete("/_control/requests")
    assert provider.received.all() == []


@pytest.fixture
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's side and the client's."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    return server_side, client_side


# httpx2, for it closes its TLS sockets itself: aiohttp leaves that to the loop, which may end before the peer answers.
def test_mock_serves_tls(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server_side, client_side = tls
    with LlmProvider(tls=server_side) as provider, httpx2.Client(verify=client_side) as client:
        assert client.post(f"{provider.url}/v1/chat/completions", json=PROMPT).status_code == 200


def test_stop_closes_keep_alive_connections_over_tls(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server_side, client_side = tls
    with httpx2.Client(verify=client_side) as client:
        with LlmProvider(tls=server_side) as provider:
            assert client.post(f"{provider.url}/v1/chat/completions", json=PROMPT).status_code == 200
        gc.collect()  # a socket that is open still warns now, and pytest makes that this test's failure


async def test_api_echoes_typed_arguments_without_the_conversation(api: ApiServer) -> None:
    async with aiohttp.ClientSession(api.url) as session:
        async with session.post("/weather", json={"days": 3, "units": ["c"], "messages": [{"role": "user"}]}) as answer:
            assert await answer.json() == {"path": "/weather", "arguments": {"days": 3, "units": ["c"]}}
        async with session.get("/rates/EUR", params={"days": "3"}) as answer:
            assert await answer.json() == {"path": "/rates/EUR", "arguments": {"days": "3"}}
    assert api.received.all()[1].query == "days=3"


async def test_api_serves_the_default_target_and_configured_faults(api: ApiServer) -> None:
    async with aiohttp.ClientSession(api.url) as session:
        async with session.post(DEFAULT_TARGET_PATH, json={"messages": [{"role": "user", "content": "x"}]}) as answer:
            assert (await answer.json())["object"] == "chat.completion"
        api.next(Behaviour(status=404, text="no such city"), Behaviour(raw="<html>", content_type="text/html"))
        async with session.post("/weather", json={}) as answer:
            assert (answer.status, await answer.json()) == (404, {"detail": "no such city"})
        async with session.post("/weather", json={}) as answer:
            assert (answer.content_type, await answer.text()) == ("text/html", "<html>")


def test_the_log_is_bounded_in_number_and_bytes() -> None:
    log = ReceivedLog(max_requests=3, max_bytes=100)
    for number in range(5):
        log.add(Received("POST", f"/{number}", "", (), b"x" * 10))
    assert [received.path for received in log.all()] == ["/2", "/3", "/4"]
    log.add(Received("POST", "/big", "", (), b"x" * 95))
    assert [received.path for received in log.all()] == ["/big"]
    assert log.total == 6
