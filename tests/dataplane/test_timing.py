"""The timing header and the durations of the access log are equal and plausible."""

from __future__ import annotations

import itertools
import time
from typing import Any

import httpx2
import pytest

from tests.dataplane.load import prompt
from tests.dataplane.prompts import ATTACK, WEATHER, user
from tests.dataplane.recovery import kill_model, wait_recovered
from tests.dataplane.stack import Stack
from tests.support.api_server import ApiServer
from tests.support.behaviour import Behaviour
from tests.support.llm_provider import LlmProvider

_COUNT = itertools.count(1)
# Largest difference of log and header by rounding: 0.01 ms each, and 0.1 ms from ten milliseconds on.
ROUNDED = 0.11


def weather() -> dict[str, Any]:
    """Returns a new prompt for the weather, which the guard has not cached. A number could be read as days."""
    name = "".join(chr(ord("a") + int(digit)) for digit in str(next(_COUNT)))
    return {"messages": user(f"{WEATHER} Thanks, {name.title()}.")}


def entries(answer: httpx2.Response) -> dict[str, dict[str, str]]:
    """Returns the parameters of each entry of the header, by its name."""
    read = [entry.split(";") for entry in answer.headers["x-arch-timing"].split(", ")]
    assert len({name for name, *_ in read}) == len(read)
    return {name: dict(parameter.split("=") for parameter in parameters) for name, *parameters in read}


def ms(line: dict[str, Any], name: str) -> float:
    return float(line[f"{name}_ms"])


@pytest.mark.smoke
@pytest.mark.parametrize("stream", [False, True])
def test_timing_header_and_access_log_agree(stack: Stack, api: ApiServer, provider: LlmProvider, stream: bool) -> None:
    api.next(Behaviour(first_byte_delay=0.2))
    provider.next(Behaviour(first_byte_delay=0.3))
    began = time.monotonic()
    answer = stack.post("ingress", {**weather(), "stream": stream})
    elapsed_ms = (time.monotonic() - began) * 1000
    assert len(api.received.all()) == 1
    timing = entries(answer)
    first, *roles, api_, upstream = timing
    assert (first, set(roles), api_, upstream) == ("filter", {"guard", "embed", "function"}, "api", "upstream")
    for role in ("guard", "embed", "function"):
        assert timing[role]["place"] == "local"
        assert 0 < float(timing[role]["compute"]) <= float(timing[role]["dur"]) + ROUNDED
    assert 200 <= float(timing["api"]["dur"]) <= elapsed_ms
    assert 290 <= float(timing["upstream"]["dur"]) <= elapsed_ms

    line = stack.access(answer.headers["x-request-id"])
    assert set(line["served"].split(",")) == {"guard=local", "embed=local", "function=local"}
    assert (line["skipped"], line["degraded"]) == (None, None)
    assert ms(line, "filter") == pytest.approx(float(timing["filter"]["dur"]), abs=ROUNDED)
    assert ms(line, "api") == pytest.approx(float(timing["api"]["dur"]), abs=ROUNDED)
    assert line["upstream_ms"] == float(timing["upstream"]["dur"])
    whole = ms(line, "filter") + ms(line, "models") + ms(line, "api") + line["upstream_ms"]
    # Envoy takes the rest: a few milliseconds, more if the machine is busy.
    assert whole <= line["duration_ms"] + 3
    parts = ms(line, "queue") + ms(line, "compute") + ms(line, "network")
    assert parts == pytest.approx(ms(line, "models"), abs=3 * ROUNDED)


def test_timing_header_of_a_blocked_prompt_has_no_upstream(stack: Stack) -> None:
    answer = stack.post("ingress", {"messages": user(f"{ATTACK} {next(_COUNT)}")})
    assert answer.headers["x-prompt-guard-error-code"] == "jailbreak"
    timing = entries(answer)
    assert {"filter", "guard"} <= set(timing)
    assert not {"function", "api", "upstream"} & set(timing)
    assert stack.access(answer.headers["x-request-id"])["upstream_ms"] is None


def test_timing_header_on_egress_has_filter_and_upstream(stack: Stack, provider: LlmProvider) -> None:
    answer = stack.post("egress", {"messages": user("hi")})
    timing = entries(answer)
    assert set(timing) == {"filter", "upstream"}
    line = stack.access(answer.headers["x-request-id"])
    assert (line["models_ms"], line["served"], line["api_ms"]) == (None, None, None)


def test_timing_header_of_an_unreachable_provider_has_no_upstream(stack: Stack) -> None:
    answer = stack.post("egress", {"model": "gpt-gone", "messages": user("hi")})
    assert answer.status_code == 503
    assert set(entries(answer)) == {"filter"}


def test_forged_timing_headers_are_dropped(stack: Stack, provider: LlmProvider) -> None:
    forged = {"x-arch-timing": "forged;dur=1", "x-arch-degraded": "forged"}
    provider.next(Behaviour(headers=forged))
    answer = stack.post("egress", {"messages": user("hi")}, forged)
    assert "forged" not in answer.headers["x-arch-timing"]
    assert "x-arch-degraded" not in answer.headers
    (llm_request,) = provider.received.all()
    assert [llm_request.header(name) for name in forged] == [None, None]


def test_prompt_without_intent_is_marked_as_degraded(stack: Stack, provider: LlmProvider) -> None:
    kill_model(stack, "embed")
    try:
        answer = stack.post("ingress", prompt())
    finally:
        wait_recovered(stack)
    assert answer.status_code == 200
    assert answer.headers["x-arch-degraded"] == "intent"
    line = stack.access(answer.headers["x-request-id"])
    assert (line["degraded"], line["served"]) == ("intent", "guard=local")
    assert line["skipped"].startswith("embed@local:")
    assert "x-arch-degraded" not in stack.post("ingress", prompt()).headers
