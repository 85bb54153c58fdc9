"""Ranking of targets for a prompt."""

import asyncio
from collections.abc import Collection, Sequence

import msgspec
import pytest

from extproc.inference.interface import Embeddings, RoleUnavailable
from extproc.pipeline.intent import background, target_index
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import Intent, Target
from extproc.shared.roles import Role
from tests.unit.extproc.fakes import FakeModels, target


def with_examples(name: str, *examples: str) -> Target:
    return msgspec.structs.replace(target(name), examples=examples)


async def built(models: FakeModels, *targets: Target, nli: Intent | None = None) -> TargetIndex:
    index = TargetIndex(models, targets, nli)
    await index.build()
    return index


async def test_ranks_targets_by_similarity() -> None:
    index = TargetIndex(FakeModels(), (target("money"), target("weather")))
    assert not index.ready
    await index.build()
    ranked = await index.rank("the weather today")
    assert index.ready
    assert [scored.target.name for scored in ranked] == ["weather", "money"]
    assert ranked[0].score > 0.8
    assert ranked[1].score < 0.1


async def test_embeds_targets_and_background_once() -> None:
    models = FakeModels()
    index = await built(models, with_examples("money", "pay", "send"), target("weather"))
    assert sum(models.embedded) == 4 + len(background.DESCRIPTIONS) + len(background.REQUESTS)
    before = models.called_roles.count(Role.EMBED)
    await index.rank("a")
    await index.rank("b")
    assert models.called_roles.count(Role.EMBED) == before + 2


async def test_prompt_that_is_similar_to_everything_scores_low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "DESCRIPTIONS", ("about money in general",))
    monkeypatch.setattr(background, "REQUESTS", ("weather or money",))
    words = ("money", "weather", "umbrella")
    (alone,) = await (await built(FakeModels(words=words), target("money"))).rank("money or weather")
    monkeypatch.setattr(background, "DESCRIPTIONS", ("umbrella",))
    monkeypatch.setattr(background, "REQUESTS", ("umbrella",))
    (usual,) = await (await built(FakeModels(words=words), target("money"))).rank("money or weather")
    assert alone.score < usual.score - 0.3


async def test_embeds_many_targets_in_several_calls() -> None:
    models = FakeModels(words=tuple(f"about x{number}y" for number in range(20)))
    index = await built(models, *(target(f"x{number}y") for number in range(20)))
    assert models.called_roles.count(Role.EMBED) > 1
    assert max(models.embedded) <= target_index._TEXTS_PER_CALL
    assert (await index.rank("about x19y"))[0].target.name == "x19y"


async def test_model_change_during_build_restarts_the_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(target_index, "_TEXTS_PER_CALL", 1)
    monkeypatch.setattr(target_index, "_RETRY_S", 0.001)

    class Changing(FakeModels):
        async def embed(self, texts: Sequence[str], spaces: Collection[str] | None = None) -> Embeddings:
            embeddings = await super().embed(texts, spaces)
            self.words = ("money", "weather", "another")
            return embeddings

    index = await built(Changing(), target("money"), target("weather"))
    assert (await index.rank("money"))[0].target.name == "money"


async def test_prompt_similar_to_an_example_ranks_its_target_first() -> None:
    models = FakeModels(words=("pay", "umbrella"))
    index = await built(models, with_examples("money", "pay"), with_examples("weather", "umbrella"))
    best, other = await index.rank("do I need an umbrella")
    assert best.target.name == "weather"
    without = await (await built(models, target("money"), target("weather"))).rank("do I need an umbrella")
    assert best.score - other.score > without[0].score - without[1].score + 0.3


async def test_ranking_before_the_build_raises() -> None:
    with pytest.raises(RoleUnavailable):
        await TargetIndex(FakeModels(), (target("money"),)).rank("money")


async def test_without_targets_no_model_is_called() -> None:
    models = FakeModels()
    index = await built(models)
    assert index.ready
    assert await index.rank("hello") == []
    assert models.called_roles == []


async def test_embedding_of_another_dimension_raises() -> None:
    models = FakeModels()
    index = await built(models, target("money"))
    models.words = ("one", "two", "three")
    with pytest.raises(RoleUnavailable, match="malformed"):
        await index.rank("money")


@pytest.mark.parametrize("words", [("money", "weather"), ("one", "two", "three")])
async def test_model_change_embeds_targets_again(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_index, "_CHECK_S", 0.001)
    models = FakeModels(words=("weather", "money"))
    index = TargetIndex(models, (target("money"), target("weather")))
    await index.build()
    models.words = words
    keeping = asyncio.create_task(index.run())
    built = models.called_roles.count(Role.EMBED)
    async with asyncio.timeout(5):
        while models.called_roles.count(Role.EMBED) < built + 3:  # noqa: ASYNC110 - the check, the new embeddings, a check
            await asyncio.sleep(0.001)
    keeping.cancel()
    assert (await index.rank("one money"))[0].score > 0.3


async def test_prompt_is_compared_within_its_embedding_space() -> None:
    models = FakeModels(spaces=("remote", "local"), words_of={"remote": ("money", "x", "weather")})
    index = await built(models, target("money"), target("weather"))
    assert set(models.answered) == {"remote", "local"}
    preferred = (await index.rank("money"))[0]
    models.spaces_down.add("remote")
    assert (await index.rank("money"))[0] == preferred
    assert preferred.target.name == "money"


async def test_prompt_uses_only_spaces_with_embedded_targets() -> None:
    models = FakeModels(spaces=("remote", "local"), spaces_down={"remote"})
    index = TargetIndex(models, (target("money"),))
    keeping = asyncio.create_task(index.run())
    async with asyncio.timeout(5):
        while not index.ready:  # noqa: ASYNC110 - built in the background
            await asyncio.sleep(0.001)
    # The preferred place comes up, and knows the targets only once they are embedded there as well.
    models.spaces_down.clear()
    assert (await index.rank("money"))[0].score > 0.3
    assert models.answered[-1] == "local"
    async with asyncio.timeout(5):
        while models.answered[-1] != "remote":  # noqa: ASYNC110 - built in the background
            await asyncio.sleep(0.01)
    await index.rank("money")
    assert models.answered[-2:] == ["remote", "remote"]
    keeping.cancel()


async def test_score_weighs_entailment_and_embedding() -> None:
    models = FakeModels(entailment={"about weather": 1.0, "about money": 0.0})
    plain = await (await built(models, target("money"), target("weather"))).rank("money")
    index = await built(models, target("money"), target("weather"), nli=Intent(threshold=0.3))
    best, other = await index.rank("money")
    assert [plain[0].target.name, best.target.name] == ["money", "weather"]
    assert best.score == pytest.approx(0.7 + 0.3 * plain[1].score)
    assert other.score == pytest.approx(0.3 * plain[0].score)


async def test_unavailable_nli_model_leaves_the_embedding_score() -> None:
    models = FakeModels(down={Role.NLI: "timeout"})
    index = await built(models, target("money"), target("weather"), nli=Intent(threshold=0.3))
    plain = await (await built(models, target("money"), target("weather"))).rank("money")
    assert await index.rank("money") == plain
