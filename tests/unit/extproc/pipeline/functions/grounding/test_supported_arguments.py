"""Supported arguments: matching, then one call of the embedding model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from extproc import request_stats
from extproc.pipeline.functions.grounding import ParsedText, supported_arguments
from extproc.request_stats import Stage
from extproc.shared.filter_config import Grounding, JsonValue, Parameter, ParameterType
from extproc.shared.roles import Role
from tests.unit.extproc.fakes import FakeModels, target

TODAY = date(2026, 11, 22)
T = ParameterType
TEXT = Parameter(name="issue", type=T.STR, description="What is wrong")
KIND = Parameter(name="kind", type=T.STR, description="Kind", enum=("weather report", "money transfer"))
CITY = Parameter(name="city", type=T.STR, description="The city")


async def kept(models: FakeModels, text: str, **arguments: JsonValue) -> Mapping[str, JsonValue]:
    return await supported_arguments(
        models, Grounding(threshold=0.5), target("t", TEXT, KIND, CITY), arguments, ParsedText(text, TODAY)
    )


async def test_matched_value_needs_no_model() -> None:
    models = FakeModels()
    assert await kept(models, "in Paris it is raining", city="Paris") == {"city": "Paris"}
    assert models.called_roles == []


async def test_paraphrased_text_is_supported_by_embeddings() -> None:
    models = FakeModels(words=("storm",))
    assert await kept(models, "a stormy night", issue="storm all over") == {"issue": "storm all over"}
    assert models.called_roles == [Role.EMBED]


async def test_name_is_not_compared_by_embeddings() -> None:
    models = FakeModels(words=("a",))
    assert await kept(models, "in Parma it is raining", city="Paris") == {}
    assert models.called_roles == []


async def test_enum_member_must_be_nearest() -> None:
    models = FakeModels(words=("weather", "money"))
    assert await kept(models, "the weatherman", kind="weather report") == {"kind": "weather report"}
    assert await kept(models, "the weatherman", kind="money transfer") == {}


async def test_unavailable_embeddings_leave_matching_only() -> None:
    models = FakeModels(down={Role.EMBED: "unreachable"})
    with request_stats.collect() as spent:
        assert await kept(models, "raining in Paris", city="Paris", issue="wet all over") == {"city": "Paris"}
    assert spent.degraded == {Stage.GROUNDING}
