"""Which targets a prompt may mean."""

import pytest

from extproc.contract import Intent
from extproc.inference.roles import Role, RoleUnavailable
from extproc.pipeline.intent import TargetIndex, description
from tests.unit.extproc.fakes import FakeModels, target

INTENT = Intent(threshold=0.5)


async def test_targets_are_ranked_by_similarity() -> None:
    models = FakeModels()
    index = TargetIndex(models, (target("money"), target("weather")), INTENT)
    assert not index.ready
    await index.build()
    ranked = await index.rank("the weather today")
    assert index.ready
    assert [scored.target.name for scored in ranked] == ["weather", "money"]
    assert ranked[0].score > 0.9
    assert ranked[1].score < 0.1


async def test_targets_are_embedded_once() -> None:
    models = FakeModels()
    index = TargetIndex(models, (target("money"), target("weather")), INTENT)
    await index.build()
    await index.rank("a")
    await index.rank("b")
    assert models.asked.count(Role.EMBED) == 1 + 2


async def test_before_the_targets_are_embedded_there_is_no_intent() -> None:
    with pytest.raises(RoleUnavailable):
        await TargetIndex(FakeModels(), (target("money"),), INTENT).rank("money")


async def test_without_targets_no_model_is_asked() -> None:
    models = FakeModels()
    index = TargetIndex(models, (), INTENT)
    await index.build()
    assert index.ready
    assert await index.rank("hello") == []
    assert models.asked == []


async def test_a_model_of_another_size_is_not_multiplied_by() -> None:
    models = FakeModels()
    index = TargetIndex(models, (target("money"),), INTENT)
    await index.build()
    models.words = ("one", "two", "three")
    with pytest.raises(RoleUnavailable, match="malformed"):
        await index.rank("money")


def test_the_name_counts_as_words() -> None:
    assert description(target("get_current-weather")) == "get current weather: about get_current-weather"
