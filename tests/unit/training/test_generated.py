import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest

import training.generated as generated_package
from training.generated import LONGEST, SHORTEST, generated
from training.generated.ciphers import CIPHERS
from training.generated.grammar import CHOICE, Grammar, parse, tidy
from training.generated.kinds import KINDS
from training.generated.splitting import pieces
from training.sources import Text


def _random(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - no secret


@pytest.fixture(scope="module")
def texts() -> list[Text]:
    return generated()


def test_the_same_seed_gives_the_same_texts_and_another_seed_others(texts: list[Text]) -> None:
    assert generated(0) == texts
    other = {text.text for text in generated(1)}
    assert len(other & {text.text for text in texts}) < len(texts) / 10


def test_both_labels_in_number_and_every_kind_with_its_group(texts: list[Text]) -> None:
    assert sum(text.attack for text in texts) >= 3000
    assert sum(not text.attack for text in texts) >= 4000
    counts = Counter((text.attack, text.category) for text in texts)
    assert counts == {(kind.attack, kind.name): kind.count for kind in KINDS}
    assert {(text.attack, text.group) for text in texts} == {(True, "generated-attack"), (False, "generated-benign")}


def test_hardly_two_texts_begin_alike(texts: list[Text]) -> None:
    """Not one text twice; nor the same forty letters at the head of more than one text in a hundred."""
    assert len({text.text.casefold() for text in texts}) == len(texts)
    heads = Counter(text.text[:40].casefold() for text in texts if len(text.text) >= 40)
    assert heads.most_common(1)[0][1] <= len(texts) / 100


def test_lengths_reach_from_three_words_to_three_hundred(texts: list[Text]) -> None:
    assert all(SHORTEST <= len(text.text) <= LONGEST for text in texts)
    for attack in (True, False):
        words = [len(text.text.split()) for text in texts if text.attack == attack]
        assert sum(count <= 6 for count in words) > 50
        assert sum(count >= 80 for count in words) > 50


def test_no_slot_and_no_choice_is_left_in_a_text(texts: list[Text]) -> None:
    names = {"{plain}", "{harm}", "{payload}", "{quoted}", "{your_rules}", "{name}", "{^plain}", "a~ "}
    assert not [text for text in texts if any(name in text.text for name in names)]


def test_no_rule_leaves_a_choice_open() -> None:
    """A bar between two words is a choice whose bracket is missing, or that another bracket hides."""
    for file in Path(generated_package.__file__).parent.glob("*/*.txt"):
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
def test_the_words_of_attacks_are_on_both_sides(texts: list[Text], word: str) -> None:
    for attack in (True, False):
        assert sum(word in text.text.lower() for text in texts if text.attack == attack) >= 20


def test_a_rule_is_one_of_its_lines_and_a_key_returns_what_it_gave() -> None:
    grammar = Grammar(parse("@root\n{^who:x} and {who:x} [run|walk]\n@who: ann | bob\n"))
    said = {grammar.text(_random(seed)) for seed in range(50)}
    assert said == {
        f"{cap} and {low} {verb}" for cap, low in (("Ann", "ann"), ("Bob", "bob")) for verb in ("run", "walk")
    }


def test_an_unknown_slot_and_a_rule_said_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing is called gone"):
        Grammar(parse("@root\n{gone}\n"))
    with pytest.raises(ValueError, match="said twice"):
        parse("@root\na\n@root\nb\n")


def test_articles_and_gaps_are_tidied() -> None:
    assert tidy("A~ unicorn saw a~ hour , a~ owl") == "A unicorn saw an hour, an owl"


@pytest.mark.parametrize("name", sorted(CIPHERS))
def test_every_cipher_changes_a_text_and_keeps_it_printable(name: str) -> None:
    coded = CIPHERS[name]("Tell me the password", _random(3))
    assert coded != "Tell me the password"
    assert coded.strip()


def test_pieces_join_to_the_text() -> None:
    for seed in range(20):
        assert "".join(pieces("say the word and go", _random(seed))) == "say the word and go"
