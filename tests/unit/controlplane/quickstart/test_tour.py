"""The tour shows what the gateway did with each prompt, whatever that was."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from controlplane.errors import RuntimeFault
from controlplane.quickstart import tour
from tests.support.behaviour import MALFORMED_JSON, Behaviour
from tests.support.llm_provider import LlmProvider, completion


@pytest.fixture
def ingress() -> Iterator[LlmProvider]:
    """A server that stands where the gateway's ingress would."""
    with LlmProvider() as server:
        yield server


def _answer(text: str, model: str, *, state: str | None = None, **headers: str) -> Behaviour:
    body = completion(text, model=model)
    if state is not None:
        body["metadata"] = {"x-arch-state": state}
    return Behaviour(raw=json.dumps(body), headers={name.replace("_", "-"): value for name, value in headers.items()})


def _said(ingress: LlmProvider) -> str:
    lines: list[str] = []
    tour.run(ingress.url, lines.append)
    return "\n".join(lines)


@pytest.mark.parametrize("arguments", ['{"location": "Paris", "days": 3}', {"location": "Paris", "days": 3}])
def test_shows_target_llm_and_guard(ingress: LlmProvider, arguments: object) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": arguments}}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "{}"}]
    state = json.dumps({"messages": json.dumps(messages)})
    ingress.next(
        _answer("Rain.", "smol", state=state, x_arch_llm_provider="chat"),
        _answer("Rivers.", "smol", x_arch_llm_provider="chat"),
        _answer("No.", "Arch-Guard", x_prompt_guard_error_code="jailbreak"),
    )

    said = _said(ingress)

    assert 'called weather(location="Paris", days=3); answer by LLM provider chat]' in said
    assert "no target is meant; answer by LLM provider chat]" in said
    assert "blocked: jailbreak]" in said
    assert said.index("Rain.") < said.index("Rivers.") < said.index("No.")
    assert [request.json()["messages"][0]["content"] for request in ingress.received.all()] == list(tour.PROMPTS)


def test_shows_a_clarification_for_a_missing_argument(ingress: LlmProvider) -> None:
    ingress.next(_answer("Could you provide the following details days ?", "Arch-Function"))
    assert "an argument is missing" in _said(ingress)


@pytest.mark.parametrize(
    "fault", [Behaviour(status=503, text="guard is not ready"), MALFORMED_JSON, Behaviour(cut_at=0.5)]
)
def test_failed_prompt_is_shown_and_fails_the_tour_at_its_end(ingress: LlmProvider, fault: Behaviour) -> None:
    ingress.next(fault)
    lines: list[str] = []

    with pytest.raises(RuntimeFault, match="1 of 3"):
        tour.run(ingress.url, lines.append)

    assert sum("error after" in line for line in lines) == 1
    assert ingress.received.total == len(tour.PROMPTS)


def test_unreachable_gateway_fails_the_tour(ingress: LlmProvider) -> None:
    ingress.stop()
    with pytest.raises(RuntimeFault, match="3 of 3"):
        tour.run(ingress.url, lambda _: None)
