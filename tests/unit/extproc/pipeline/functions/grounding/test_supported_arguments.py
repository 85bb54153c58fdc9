"""Which arguments are kept: matching, then one call of the embedding model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from extproc import request_stats
from extproc.inference.interface import Role
from extproc.pipeline.functions.grounding import Said, grounded
from extproc.pipeline.functions.grounding.datetimes import in_format, overlooked
from extproc.request_stats import Stage
from extproc.shared.filter_config import Grounding, JsonValue, Parameter, ParameterType
from tests.unit.extproc.fakes import FakeModels, target

TODAY = date(2026, 11, 22)
T = ParameterType
TEXT = Parameter(name="issue", type=T.STR, description="What is wrong")
KIND = Parameter(name="kind", type=T.STR, description="Kind", enum=("weather report", "money transfer"))
CITY = Parameter(name="city", type=T.STR, description="The city")


async def kept(models: FakeModels, said: str, **arguments: JsonValue) -> Mapping[str, JsonValue]:
    return await grounded(models, Grounding(threshold=0.5), target("t", TEXT, KIND, CITY), arguments, Said(said, TODAY))


async def test_what_matching_finds_asks_no_model() -> None:
    models = FakeModels()
    assert await kept(models, "in Paris it is raining", city="Paris") == {"city": "Paris"}
    assert models.asked == []


async def test_free_text_in_other_words_is_near_in_meaning() -> None:
    models = FakeModels(words=("storm",))
    assert await kept(models, "a stormy night", issue="storm all over") == {"issue": "storm all over"}
    assert models.asked == [Role.EMBED]


async def test_a_name_is_said_as_it_is() -> None:
    models = FakeModels(words=("a",))
    assert await kept(models, "in Parma it is raining", city="Paris") == {}
    assert models.asked == []


async def test_a_member_of_an_enum_must_be_nearer_than_the_others() -> None:
    models = FakeModels(words=("weather", "money"))
    assert await kept(models, "the weatherman", kind="weather report") == {"kind": "weather report"}
    assert await kept(models, "the weatherman", kind="money transfer") == {}


async def test_without_embeddings_only_matching_counts() -> None:
    models = FakeModels(down={Role.EMBED: "unreachable"})
    with request_stats.collect() as spent:
        assert await kept(models, "raining in Paris", city="Paris", issue="wet all over") == {"city": "Paris"}
    assert spent.degraded == {Stage.GROUNDING}


def test_dates_and_times_are_brought_into_the_declared_form() -> None:
    when = target(
        "t",
        Parameter(name="day", type=T.STR, description="", format="date"),
        Parameter(name="at", type=T.STR, description="", format="time"),
        Parameter(name="start", type=T.STR, description="", format="date-time"),
        Parameter(name="note", type=T.STR, description=""),
    )
    given: dict[str, JsonValue] = {
        "day": "tomorrow",
        "at": "half past 6 pm",
        "start": "tomorrow at 9am",
        "note": "tomorrow",
    }
    assert in_format(when, given, TODAY) == {
        "day": "2026-11-23",
        "at": "18:30",
        "start": "2026-11-23T09:00:00",
        "note": "tomorrow",
    }
    unclear: dict[str, JsonValue] = {"day": "05/06/2027", "at": "at six"}
    assert in_format(when, unclear, TODAY) == unclear


def test_what_a_model_overlooked_is_taken_where_it_can_mean_one_thing_only() -> None:
    convert = target(
        "convert",
        Parameter(name="amount", type=T.FLOAT, description="The amount", required=True),
        Parameter(name="from_currency", type=T.STR, description="The currency to convert from", required=True),
        Parameter(name="to_currency", type=T.STR, description="The currency to convert to", required=True),
    )
    said = Said("convert 5 dollars to euro", TODAY)
    assert overlooked(convert, {"amount": 5.0, "to_currency": "EUR"}, said) == {"from_currency": "USD"}
    assert overlooked(convert, {"amount": 5.0}, said) == {"from_currency": "USD", "to_currency": "EUR"}
    assert overlooked(convert, {}, Said("convert 5 dollars", TODAY)) == {}
