"""Which targets the function model is shown, where a prompt holds several wishes."""

from extproc.conversation import current_turn
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import Intent, Prompting, Role
from tests.unit.extproc.fakes import FakeModels, target

TARGETS = (target("weather"), target("money"), target("card"))


async def candidates(text: str, models: FakeModels | None = None) -> list[str]:
    models = models or FakeModels(words=("weather", "money", "card"))
    index = TargetIndex(models, TARGETS)
    await index.build()
    # No second candidate by closeness alone: what is left are the wishes.
    intent = Intent(threshold=0.22, margin=0.0, candidates=1, sure=0.4)
    understanding = IntentResolver(models, index, Prompting(intent=intent, targets=TARGETS))
    turn = current_turn.read([{"role": "user", "content": text}], TARGETS)
    return sorted(scored.target.name for scored in await understanding.intend(turn))


async def test_each_wish_brings_the_target_that_it_means() -> None:
    text = "tell me the weather there, and send some money home, and block the card now"
    assert await candidates(text) == ["card", "money", "weather"]


async def test_one_wish_brings_one_target() -> None:
    assert await candidates("tell me the weather there") == ["weather"]


async def test_a_part_that_means_no_target_brings_none() -> None:
    assert await candidates("tell me the weather there, and then sing me a song") == ["weather"]


async def test_the_parts_of_a_prompt_that_means_no_target_are_not_embedded() -> None:
    models = FakeModels(words=("weather", "money", "card"))
    assert await candidates("tell me about the leaves, and then about the autumn", models) == []
    # The targets, and the prompt.
    assert models.called_roles == [Role.EMBED] * 2
