"""Candidates for the function model if a prompt holds several requests."""

from extproc.conversation import current_turn
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import Intent, Prompting
from tests.unit.extproc.fakes import FakeModels, target

TARGETS = (target("weather"), target("money"), target("card"))


async def candidates(text: str, models: FakeModels | None = None) -> list[str]:
    models = models or FakeModels(words=("weather", "money", "card"))
    index = TargetIndex(models, TARGETS)
    await index.build()
    # A margin of 0 allows one candidate for the whole text; the others come from split requests.
    intent = Intent(threshold=0.22, margin=0.0, candidates=1, sure=0.4)
    intent_resolver = IntentResolver(models, index, Prompting(intent=intent, targets=TARGETS))
    turn = current_turn.read([{"role": "user", "content": text}], TARGETS)
    return sorted(scored.target.name for scored in await intent_resolver.find_candidates(turn))


async def test_each_request_adds_its_target() -> None:
    text = "tell me the weather there, and send some money home, and block the card now"
    assert await candidates(text) == ["card", "money", "weather"]


async def test_one_request_gives_one_target() -> None:
    assert await candidates("tell me the weather there") == ["weather"]


async def test_part_without_a_target_adds_none() -> None:
    assert await candidates("tell me the weather there, and then sing me a song") == ["weather"]


async def test_parts_are_not_embedded_if_the_prompt_means_no_target() -> None:
    models = FakeModels(words=("weather", "money", "card"))
    assert await candidates("tell me about the leaves, and then about the autumn", models) == []
    # The last call is for the prompt, alone.
    assert models.embedded[-1] == 1
    assert models.embedded.count(1) == 1
