"""A value that would change the path of its call is requested again, and logged."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.inference.interface import FunctionCall
from extproc.shared.filter_config import EndpointCall, HttpMethod, Parameter, ParameterType, Target
from tests.unit.extproc.fakes import FakeModels, target
from tests.unit.extproc.pipeline.ingress_fixture import IngressFixture, forward, reply

CALL = EndpointCall(endpoint="api", upstream="endpoint_api", method=HttpMethod.GET, path="/orders/{order}?by={by}")
QUESTION = "Could you provide the following details order ?"


def orders(*, default: str | None = None) -> Target:
    order = Parameter(
        name="order", type=ParameterType.STR, description="which", required=default is None, default_json=default
    )
    by = Parameter(name="by", type=ParameterType.STR, description="who asks")
    return replace(target("weather", order, by), call=CALL)


async def decided(value: str, prompt: Any = None, default: str | None = None) -> Any:
    models = FakeModels(calls=(FunctionCall("weather", {"order": value, "by": "a/b"}),))
    bench = IngressFixture(models=models, targets=(orders(default=default), target("money")))
    return bench, await bench.decide(prompt or f"weather of {value} by a/b")


@pytest.mark.parametrize("default", [None, '"all"'])
@pytest.mark.parametrize("value", ["42/invoice", "42%2finvoice", "42\uff0finvoice", ".."])
async def test_value_with_a_slash_is_requested_again_despite_a_default(
    value: str, default: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    bench, decision = await decided(value, default=default)
    answer = json.loads(reply(decision).body)
    assert answer["choices"][0]["message"]["content"] == QUESTION
    assert bench.endpoints.calls == []
    fields = [record.__dict__["fields"] for record in caplog.records if record.getMessage() == "argument refused"]
    assert {(each["target"], each["parameter"]) for each in fields} == {("weather", "order")}
    assert value not in caplog.text


@pytest.mark.parametrize("default", [None, '"all"'])
async def test_answer_with_a_slash_is_requested_again(default: str | None) -> None:
    dialogue = [
        {"role": "user", "content": "weather by a/b"},
        {"role": "assistant", "model": "Arch-Function", "content": QUESTION},
        {"role": "user", "content": "42/invoice"},
    ]
    bench, decision = await decided("42/invoice", dialogue, default)
    assert json.loads(reply(decision).body)["choices"][0]["message"]["content"] == QUESTION
    assert bench.endpoints.calls == []


async def test_single_segment_is_sent_and_query_can_hold_a_slash() -> None:
    bench, decision = await decided("42")
    forward(decision)
    assert [arguments for _, arguments, *_ in bench.endpoints.calls] == [{"order": "42", "by": "a/b"}]
