"""Errors that the error target or the gateway answers, and the answers of the default target."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from msgspec.structs import replace

from extproc.decision import Reply
from extproc.errors import ApiError, ApiTimeout, BadApiAnswer, GatewayError
from extproc.shared.filter_config import EndpointCall, HttpMethod
from extproc.targets.api_client import ApiAnswer
from tests.unit.extproc.fakes import FakeEndpoints, target
from tests.unit.extproc.pipeline.ingress_fixture import GUARD, IngressFixture, called, reply, sent

ERRORS = EndpointCall(endpoint="errors", upstream="error_target", method=HttpMethod.POST, path="/errors")
COMPLETION = json.dumps({"model": "m", "choices": [{"message": {"role": "assistant", "content": "sorry"}}]}).encode()
STREAM = (
    b'data: {"model":"m","choices":[{"delta":{"role":"assistant","content":"so"}}]}\n\n'
    b'data: {"model":"m","choices":[{"delta":{"content":"rry"},"finish_reason":"length"}]}\n\ndata: [DONE]\n\n'
)
FORWARDING = replace(GUARD, forward_to_error_target=True)
JSON, SSE = "application/json", "text/event-stream; charset=utf-8"


def ingress_of(error_target_answer: ApiAnswer | GatewayError, error: GatewayError | None = None) -> IngressFixture:
    """One whose error target gives this answer, and whose other endpoints fail with `error`."""
    return IngressFixture(
        models=called(days=3),
        endpoints=FakeEndpoints(by_path={"/errors": error_target_answer}, error=error),
        error_target=ERRORS,
    )


def texts(answer: Reply) -> str:
    """Returns the text of a completion or a stream of chunks, as a client reads it."""
    if answer.content_type == JSON:
        return str(json.loads(answer.body)["choices"][0]["message"]["content"])
    chunks = [json.loads(line[6:]) for line in answer.body.splitlines() if line.startswith(b"data: {")]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


@pytest.mark.parametrize("error", [ApiError("Endpoint `api` answered with status 418.", 418), ApiTimeout("Late.")])
async def test_the_error_target_answers_for_a_failed_api_call(error: ApiError | ApiTimeout) -> None:
    ingress = ingress_of(ApiAnswer(422, "text/plain", b"from the error target"), error)
    response = reply(await ingress.decide("weather", metadata={"mine": "x"}))
    assert (response.status, response.content_type, response.body) == (422, "text/plain", b"from the error target")
    assert ("x-function-error-code", str(error.status)) in response.headers
    ((path, body, headers),) = ingress.endpoints.sent
    assert path == "/errors"
    assert json.loads(body) == {"messages": [{"role": "user", "content": "weather"}], "metadata": {"mine": "x"}}
    assert headers["x-function-error-code"] == str(error.status)
    assert headers["x-arch-error-message"] == error.message
    assert datetime.fromisoformat(headers["x-arch-error-time"]).tzinfo
    assert "x-prompt-guard-error-code" not in headers


@pytest.mark.parametrize("status", [None, 403])
async def test_the_error_target_answers_for_a_block_only_if_the_guard_says_so(status: int | None) -> None:
    ingress = ingress_of(ApiAnswer(200, JSON, COMPLETION))
    ingress.models.attack = 1.0
    ingress.guards = (replace(FORWARDING, status=status),)
    response = reply(await ingress.decide("hello"))
    assert (response.status, response.body) == (200, COMPLETION)
    assert ("x-prompt-guard-error-code", "jailbreak") in response.headers
    ((_, _, headers),) = ingress.endpoints.sent
    assert headers["x-prompt-guard-error-code"] == "jailbreak"
    assert headers["x-arch-error-message"] == "Not this."
    ingress.endpoints.sent.clear()
    ingress.guards = (GUARD,)
    assert reply(await ingress.decide("hello")).code == "blocked"
    assert ingress.endpoints.sent == []


@pytest.mark.parametrize("answer", [ApiAnswer(200, JSON, COMPLETION), ApiAnswer(200, SSE, STREAM)])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_error_target_s_completion_is_streamed_if_the_client_wants_a_stream(
    answer: ApiAnswer, stream: bool
) -> None:
    response = reply(await ingress_of(answer, ApiError("x", 500)).decide("weather", stream=stream))
    assert response.content_type.startswith("text/event-stream" if stream else JSON)
    assert texts(response) == "sorry"


@pytest.mark.parametrize(
    "broken",
    [ApiAnswer(500, JSON, b"{}"), BadApiAnswer("Elsewhere."), ApiTimeout("Late."), ApiError("Gone.", 503)],
)
async def test_the_gateway_answers_itself_if_the_error_target_fails(broken: ApiAnswer | GatewayError) -> None:
    ingress = ingress_of(broken, ApiError("First.", 418))
    assert reply(await ingress.decide("weather")).status == 418
    ingress.models.attack = 1.0
    ingress.guards = (FORWARDING,)
    assert reply(await ingress.decide("weather")).code == "blocked"


async def test_the_error_message_is_safe_in_a_header() -> None:
    ingress = ingress_of(ApiAnswer(200, JSON, b"{}"))
    ingress.models.attack = 1.0
    ingress.guards = (replace(FORWARDING, message="100 %\r\nSet-Cookie: a=b é 🙂 " + "x" * 5000),)
    await ingress.decide("hello")
    ((_, _, headers),) = ingress.endpoints.sent
    message = headers["x-arch-error-message"]
    assert message.startswith("100 %25 Set-Cookie: a=b %C3%A9 %F0%9F%99%82 xxx")
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 2000


@pytest.mark.parametrize("answer", [ApiAnswer(200, JSON, COMPLETION), ApiAnswer(200, SSE, STREAM)])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_default_target_s_completion_is_streamed_if_the_client_wants_a_stream(
    answer: ApiAnswer, stream: bool
) -> None:
    endpoints = FakeEndpoints(by_path={"/fallback": answer})
    response = reply(
        await IngressFixture(endpoints=endpoints, default_target=target("fallback", dispatch=False)).decide(
            "hello", stream=stream
        )
    )
    assert texts(response) == "sorry"
    assert response.content_type.startswith("text/event-stream" if stream else JSON)
    if (answer.content_type == SSE) is stream:
        assert response.body == answer.body
    assert ("x-arch-prompt-target", "fallback") in response.headers
    assert endpoints.headers == [{"x-arch-prompt-target": "fallback"}]


@pytest.mark.parametrize("answer", [ApiAnswer(200, JSON, COMPLETION), ApiAnswer(200, SSE, STREAM)])
async def test_the_default_target_s_answer_may_go_to_the_llm(answer: ApiAnswer) -> None:
    endpoints = FakeEndpoints(by_path={"/fallback": answer})
    body = sent(await IngressFixture(endpoints=endpoints, default_target=target("fallback")).decide("hello"))
    assert body["messages"][-1]["content"] == "hello\ncontext: sorry"


@pytest.mark.parametrize(
    "answer",
    [ApiAnswer(200, JSON, b"{}"), ApiAnswer(200, SSE, b"data: {}\n\n"), ApiAnswer(200, SSE, b""), BadApiAnswer("x")],
)
async def test_the_error_target_answers_for_a_failed_default_target(answer: ApiAnswer | ApiError) -> None:
    endpoints = FakeEndpoints(by_path={"/fallback": answer, "/errors": ApiAnswer(200, JSON, COMPLETION)})
    ingress = IngressFixture(endpoints=endpoints, default_target=target("fallback"), error_target=ERRORS)
    response = reply(await ingress.decide("hello"))
    assert response.body == COMPLETION
    assert endpoints.sent[0][2]["x-function-error-code"] == "502"
