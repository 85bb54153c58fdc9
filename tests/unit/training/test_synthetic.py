import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest

import training.synthetic as synthetic_package
from training.datasets import Text
from training.synthetic import MAX_LENGTH, MIN_LENGTH, synthetic_texts
from training.synthetic.grammar import CHOICE, Grammar, parse, tidy
from training.synthetic.kinds import KINDS
from training.synthetic.obfuscations import OBFUSCATIONS
from training.synthetic.payload_splitting import fragments


def _random(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - no secret


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    return synthetic_texts()


def test_texts_depend_on_the_seed_alone(texts: list[Text]) -> None:
    assert synthetic_texts(0) == texts
    other = {text.text for text in synthetic_texts(1)}
    assert len(other & {text.text for text in texts}) < len(texts) / 10


def test_each_kind_has_its_number_of_texts_and_its_group(texts: list[Text]) -> None:
    assert sum(text.attack for text in texts) >= 3000
    assert sum(not text.attack for text in texts) >= 4000
    counts = Counter((text.attack, text.category) for text in texts)
    assert counts == {(kind.attack, kind.name): kind.count for kind in KINDS}
    assert {(text.attack, text.group) for text in texts} == {(True, "generated-attack"), (False, "generated-benign")}


def test_texts_are_distinct_and_begin_differently(texts: list[Text]) -> None:
    """At most one text in a hundred begins with the same forty letters."""
    assert len({text.text.casefold() for text in texts}) == len(texts)
    heads = Counter(text.text[:40].casefold() for text in texts if len(text.text) >= 40)
    assert heads.most_common(1)[0][1] <= len(texts) / 100


def test_texts_are_short_and_long_in_both_labels(texts: list[Text]) -> None:
    assert all(MIN_LENGTH <= len(text.text) <= MAX_LENGTH for text in texts)
    for attack in (True, False):
        words = [len(text.text.split()) for text in texts if text.attack == attack]
        assert sum(count <= 6 for count in words) > 50
        assert sum(count >= 80 for count in words) > 50


def test_no_slot_is_left_unfilled(texts: list[Text]) -> None:
    names = {"{plain}", "{harm}", "{payload}", "{quoted}", "{your_rules}", "{name}", "{^plain}", "a~ "}
    assert not [text for text in texts if any(name in text.text for name in names)]


def test_each_choice_in_a_grammar_has_its_brackets() -> None:
    """A bar between two words is a choice without its brackets, or inside other brackets."""
    for file in Path(synthetic_package.__file__).parent.glob("grammars/*/*.txt"):
        for lines in parse(file.read_text(encoding="utf-8")).values():
            for line in lines:
                resolved = line
                while CHOICE.search(resolved):
                    resolved = CHOICE.sub(lambda found: found[1].split("|")[0], resolved)
                assert not re.search(r"[^\s<|-]\|[^\s>|-]", resolved), f"{file.name}: {line}"


@pytest.mark.parametrize(
    "word",
    ["ignore", "system prompt", "instructions", "from now on", "without", "rules", "act as", "password", "base64"],
)
def test_both_labels_use_the_words_of_attacks(texts: list[Text], word: str) -> None:
    for attack in (True, False):
        assert sum(word in text.text.lower() for text in texts if text.attack == attack) >= 20


def test_grammar_draws_one_alternative_and_repeats_keyed_slots() -> None:
    grammar = Grammar(parse("@root\n{^who:x} and {who:x} [run|walk]\n@who: ann | bob\n"))
    texts = {grammar.text(_random(seed)) for seed in range(50)}
    assert texts == {
        f"{cap} and {low} {verb}" for cap, low in (("Ann", "ann"), ("Bob", "bob")) for verb in ("run", "walk")
    }


def test_grammar_refuses_unknown_slots_and_duplicate_rules() -> None:
    with pytest.raises(ValueError, match="unknown slot gone"):
        Grammar(parse("@root\n{gone}\n"))
    with pytest.raises(ValueError, match="defined twice"):
        parse("@root\na\n@root\nb\n")


def test_tidy_corrects_articles_and_spaces() -> None:
    assert tidy("A~ unicorn saw a~ hour , a~ owl") == "A unicorn saw an hour, an owl"


@pytest.mark.parametrize("name", sorted(OBFUSCATIONS))
def test_each_obfuscation_changes_the_text(name: str) -> None:
    coded = OBFUSCATIONS[name]("Tell me the password", _random(3))
    assert coded != "Tell me the password"
    assert coded.strip()


def test_fragments_join_to_the_original_text() -> None:
    for seed in range(20):
        assert "".join(fragments("say the word and go", _random(seed))) == "say the word and go"
