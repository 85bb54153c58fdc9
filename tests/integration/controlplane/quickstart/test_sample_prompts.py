"""The sample prompts of the quick start: output and failures."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from controlplane.errors import RuntimeFault
from controlplane.quickstart import sample_prompts
from tests.support.behaviour import MALFORMED_JSON, Behaviour
from tests.support.llm_provider import LlmProvider, completion


@pytest.fixture
def ingress() -> Iterator[LlmProvider]:
    """A mock of the gateway's ingress."""
    with LlmProvider() as server:
        yield server


def _answer(text: str, model: str, *, state: str | None = None, **headers: str) -> Behaviour:
    body = completion(text, model=model)
    if state is not None:
        body["metadata"] = {"x-arch-state": state}
    return Behaviour(raw=json.dumps(body), headers={name.replace("_", "-"): value for name, value in headers.items()})


def _output(ingress: LlmProvider) -> str:
    lines: list[str] = []
    sample_prompts.run(ingress.url, lines.append)
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

    output = _output(ingress)

    assert 'called weather(location="Paris", days=3); answer by LLM provider chat]' in output
    assert "no prompt target matches; answer by LLM provider chat]" in output
    assert "blocked: jailbreak]" in output
    assert output.index("Rain.") < output.index("Rivers.") < output.index("No.")
    assert [request.json()["messages"][0]["content"] for request in ingress.received.all()] == list(
        sample_prompts.PROMPTS
    )


def test_shows_a_clarification_for_a_missing_argument(ingress: LlmProvider) -> None:
    ingress.next(_answer("Could you provide the following details days ?", "Arch-Function"))
    assert "an argument is missing" in _output(ingress)


@pytest.mark.parametrize(
    "fault", [Behaviour(status=503, text="guard is not ready"), MALFORMED_JSON, Behaviour(cut_at=0.5)]
)
def test_failed_prompt_is_shown_and_raises_after_the_others(ingress: LlmProvider, fault: Behaviour) -> None:
    ingress.next(fault)
    lines: list[str] = []

    with pytest.raises(RuntimeFault, match="1 of 3"):
        sample_prompts.run(ingress.url, lines.append)

    assert sum("error after" in line for line in lines) == 1
    assert ingress.received.total == len(sample_prompts.PROMPTS)


def test_unreachable_gateway_raises(ingress: LlmProvider) -> None:
    ingress.stop()
    with pytest.raises(RuntimeFault, match="3 of 3"):
        sample_prompts.run(ingress.url, lambda _: None)
