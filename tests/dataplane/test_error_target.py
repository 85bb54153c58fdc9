"""A gateway with an error target, guards on both listeners, and a default target whose answer an LLM phrases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.prompts import ATTACK, WEATHER, chunks_of, user
from tests.dataplane.stack import Stack, free_ports
from tests.dataplane.tails import tails_on_failure
from tests.support.api_server import ApiServer
from tests.support.behaviour import NEVER, Behaviour
from tests.support.llm_provider import LlmProvider, completion

pytestmark = pytest.mark.runtime(Runtime.NATIVE, why="a gateway more, whose filter tells an error as the other does")

HELLO = "Hello, who are you?"
SORRY = json.dumps(completion("sorry", model="errors"))
SORRY_STREAM = (
    'data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"errors","choices":[{"index":0,"delta":'
    '{"role":"assistant","content":"sorry"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


@pytest.fixture(scope="module")
def _errors() -> Iterator[ApiServer]:
    with ApiServer() as errors:
        yield errors


@pytest.fixture
def errors(_errors: ApiServer) -> Iterator[ApiServer]:
    """The API server of the error target."""
    _errors.reset()
    yield _errors
    _errors.reset()


@pytest.fixture(scope="module")
def _forwarding(
    runtime: Runtime,
    _providers: tuple[LlmProvider, LlmProvider, LlmProvider],
    _api: ApiServer,
    _errors: ApiServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    ingress, egress = free_ports(2)
    config: dict[str, Any] = {
        "version": "v1",
        "listeners": {
            "ingress": {"address": "127.0.0.1", "port": ingress},
            "egress": {"address": "127.0.0.1", "port": egress},
        },
        "endpoints": {
            "api": {"endpoint": f"127.0.0.1:{_api.port}", "timeout": "2s"},
            "errors": {"endpoint": f"127.0.0.1:{_errors.port}", "timeout": "2s"},
        },
        "llm_providers": [
            {"name": "a", "provider": "openai_compatible", "model": "m", "base_url": f"{_providers[0].url}/v1"},
        ],
        "error_target": {"endpoint": "errors", "path": "/failed"},
        "prompt_guards": {
            "apply_to": ["ingress", "egress"],
            "input_guards": {"jailbreak": {"on_exception": {"message": "No é.", "forward_to_error_target": True}}},
        },
        "prompt_targets": [
            {
                "name": "get_weather_forecast",
                "description": "Get the weather forecast for a city for a number of days",
                "endpoint": {"name": "api", "path": "/weather"},
                "parameters": [
                    {"name": "city", "description": "The name of the city", "required": True},
                    {"name": "days", "type": "int", "description": "Number of days of the forecast", "required": True},
                ],
            },
            {
                "name": "anything_else",
                "description": "Answers whatever no other target does",
                "default": True,
                "auto_llm_dispatch_on_response": True,
                "endpoint": {"name": "api", "path": "/default_target"},
            },
        ],
        "overrides": {"filter_workers": 1},
    }
    stack = Stack(config, tmp_path_factory.mktemp("gw3"), runtime=runtime)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def forwarding(_forwarding: Stack, request: pytest.FixtureRequest) -> Iterator[Stack]:
    with tails_on_failure(_forwarding, request):
        yield _forwarding


def forwarded_failure(errors: ApiServer) -> dict[str, Any]:
    """Returns headers and body of the one failure that the error target received."""
    (failure,) = errors.received.all()
    assert (failure.method, failure.path) == ("POST", "/failed")
    when = datetime.fromisoformat(failure.header("x-arch-error-time") or "")
    assert abs((datetime.now(UTC) - when).total_seconds()) < 60
    return {**dict(failure.headers), "body": failure.body}


ELSEWHERE = Behaviour(status=307, headers={"location": "/elsewhere"})


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Behaviour(status=418), "418"), (ELSEWHERE, "502"), (NEVER, "504")],
    ids=["418", "307", "never"],
)
def test_error_target_answers_for_a_failed_call(  # noqa: PLR0917 - fixtures and parameters
    forwarding: Stack, api: ApiServer, errors: ApiServer, provider: LlmProvider, fault: Behaviour, status: str
) -> None:
    api.next(fault)
    errors.next(Behaviour(raw="from the error target", content_type="text/plain", status=422))
    body = json.dumps({"messages": user(WEATHER), "seed": 1.10}).encode()
    answer = forwarding.post("ingress", body)
    assert (answer.status_code, answer.text) == (422, "from the error target")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-function-error-code"] == status
    failure = forwarded_failure(errors)
    assert failure["body"] == body
    assert failure["x-function-error-code"] == status
    assert failure["x-request-id"] == answer.headers["x-request-id"]
    assert "Endpoint `api` (POST /weather)" in failure["x-arch-error-message"]
    assert provider.received.all() == []


@pytest.mark.parametrize("listener", ["ingress", "egress"])
@pytest.mark.parametrize("stream", [False, True])
def test_error_target_answers_for_a_blocked_prompt(
    forwarding: Stack, errors: ApiServer, provider: LlmProvider, listener: str, stream: bool
) -> None:
    errors.next(Behaviour(raw=SORRY, content_type="application/json"))
    answer = forwarding.post(listener, {"messages": user(ATTACK), "stream": stream, "model": "m"})
    assert answer.status_code == 200
    assert answer.headers["x-prompt-guard-error-code"] == "jailbreak"
    assert "sorry" in answer.text
    assert answer.headers["content-type"].startswith("text/event-stream" if stream else "application/json")
    assert answer.text.endswith("data: [DONE]\n\n") is stream
    failure = forwarded_failure(errors)
    assert failure["x-prompt-guard-error-code"] == "jailbreak"
    assert failure["x-arch-error-message"] == "No %C3%A9."
    assert provider.received.all() == []
    assert forwarding.access(answer.headers["x-request-id"])["guard"] == "blocked"


def test_event_stream_of_the_error_target_passes_unchanged(
    forwarding: Stack, api: ApiServer, errors: ApiServer
) -> None:
    api.next(Behaviour(status=500))
    errors.next(Behaviour(raw=SORRY_STREAM, content_type="text/event-stream"))
    answer = forwarding.post("ingress", {"messages": user(WEATHER), "stream": True})
    assert answer.text == SORRY_STREAM


@pytest.mark.parametrize("fault", [Behaviour(status=500), ELSEWHERE, NEVER], ids=["500", "307", "never"])
def test_failed_error_target_returns_the_first_failure(
    forwarding: Stack, api: ApiServer, errors: ApiServer, fault: Behaviour
) -> None:
    api.next(Behaviour(status=418))
    errors.next(fault)
    answer = forwarding.post("ingress", {"messages": user(WEATHER)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (418, "api_error")
    errors.next(fault)
    blocked = forwarding.post("ingress", {"messages": user(ATTACK)})
    assert blocked.json()["choices"][0]["message"]["content"] == "No é."


@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_harmless_prompt_passes_both_listeners(
    forwarding: Stack, errors: ApiServer, provider: LlmProvider, listener: str
) -> None:
    answer = forwarding.post(listener, {"messages": user("Tell me a joke about cats"), "model": "m"})
    assert answer.json()["choices"][0]["message"]["content"].startswith("You said: Tell me a joke about cats")
    assert errors.received.all() == []
    assert forwarding.access(answer.headers["x-request-id"])["guard"] == "allowed"


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "event stream"])
@pytest.mark.parametrize("stream", [False, True])
def test_llm_phrases_the_answer_of_the_default_target(
    forwarding: Stack, api: ApiServer, provider: LlmProvider, stream: bool, streams: bool
) -> None:
    raw, content_type = (SORRY_STREAM, "text/event-stream") if streams else (SORRY, "application/json")
    api.next(Behaviour(raw=raw, content_type=content_type))
    answer = forwarding.post("ingress", {"messages": user(HELLO), "stream": stream})
    (call,) = api.received.all()
    assert (call.path, call.json()) == ("/default_target", {"messages": user(HELLO)})
    assert call.header("x-arch-prompt-target") == answer.headers["x-arch-prompt-target"] == "anything_else"
    (llm_request,) = provider.received.all()
    assert llm_request.json()["messages"][-1]["content"] == f"{HELLO}\ncontext: sorry"
    words = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks_of(answer.text)] if stream else []
    text = "".join(words) if stream else answer.json()["choices"][0]["message"]["content"]
    assert text == f"You said: {HELLO}\ncontext: sorry"


def test_error_target_answers_for_a_failed_default_target(forwarding: Stack, api: ApiServer, errors: ApiServer) -> None:
    api.next(Behaviour(raw='{"not": "a completion"}', content_type="application/json"))
    errors.next(Behaviour(raw=SORRY, content_type="application/json"))
    assert forwarding.post("ingress", {"messages": user(HELLO)}).text == SORRY
    assert forwarded_failure(errors)["x-function-error-code"] == "502"
