import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from training import guard_data
from training.guard_rows import Row, write
from training.synthetic.hard_benign import hard_rows
from training.synthetic.multilingual import COUNTS, multilingual_rows
from training.synthetic.third_party_pairs import SLOT, Given, Material, third_party_pairs

PUBLIC = Material(
    requests=[Given(f"Find {number} hotels in Rome", "requests") for number in range(200)],
    sentences=[Given(f"The tower is {number} metres high.", "sentences") for number in range(200)],
    documents=[Given("A first sentence. A second one.\n\n" + "The last part is long. " * 20, "documents")],
)


@pytest.fixture(scope="module")
def pairs() -> list[Row]:
    return list(third_party_pairs(400, PUBLIC))


@pytest.fixture(scope="module")
def foreign() -> list[Row]:
    return list(multilingual_rows())


@pytest.fixture(scope="module")
def hard() -> list[Row]:
    return list(hard_rows())


def test_pairs_differ_in_one_sentence_and_in_the_label(pairs: list[Row]) -> None:
    for attack, harmless in zip(pairs[::2], pairs[1::2], strict=True):
        assert (attack.label, harmless.label) == (1, 0)
        assert attack.text != harmless.text
        assert (attack.pair, attack.role, attack.kind) == (harmless.pair, harmless.role, harmless.kind)
        assert abs(len(attack.text) - len(harmless.text)) < 400


def test_pairs_have_every_role_and_carrier_and_no_slot_is_left(pairs: list[Row]) -> None:
    assert {row.role for row in pairs} == {"tool", "document", "user"}
    carriers = {row.kind.split("/")[0] for row in pairs}
    assert {"mail", "table", "tool_result", "code", "page", "public"} <= carriers
    assert not [row for row in pairs if SLOT in row.text or "ue000" in row.text]


def test_json_carriers_stay_valid_with_the_sentence_inside(pairs: list[Row]) -> None:
    found = [
        row.text
        for row in pairs
        if row.kind.startswith("tool_result") and row.role == "tool" and row.text.startswith(('{"', '[{"'))
    ]
    assert len(found) > 20
    for text in found:
        json.loads(text)


def test_pairs_depend_on_the_seed_alone(pairs: list[Row]) -> None:
    assert list(islice(third_party_pairs(400, PUBLIC), 20)) == pairs[:20]
    assert {row.text for row in third_party_pairs(50, PUBLIC, seed=1)}.isdisjoint(row.text for row in pairs)


def test_public_sentences_keep_their_source(pairs: list[Row]) -> None:
    sources = Counter((row.label, row.payload_source) for row in pairs)
    assert sources[1, "requests"] > 10
    assert sources[0, "sentences"] > 10
    assert {row.source for row in pairs} == {"rules", "documents"}


def test_languages_have_as_many_attacks_as_harmless_texts(foreign: list[Row]) -> None:
    counts = Counter((row.lang, row.label) for row in foreign)
    assert counts == {(language, label): count for language, count in COUNTS.items() for label in (0, 1)}
    assert len({row.text for row in foreign}) == len(foreign)


@pytest.mark.parametrize("rows", ["foreign", "hard"])
def test_no_slot_or_choice_is_left_unfilled(rows: str, request: pytest.FixtureRequest) -> None:
    texts = [row.text for row in request.getfixturevalue(rows) if row.kind != "encoded"]
    assert not [text for text in texts if re.search(r"\{\^?[a-z_]+(:\w+)?\}|\[[^\]\n]*\|[^\]\n]*\]|a~", text)]


def test_leaks_and_requests_about_own_data_share_their_wording(hard: list[Row]) -> None:
    labels = {row.kind: row.label for row in hard}
    assert [kind for kind, label in labels.items() if label] == ["leak_in_disguise"]
    for word in ("csv", "poem", "summarise", "translate", "above", "word for word"):
        for kind in ("leak_in_disguise", "own_data"):
            count = sum(word in row.text.lower() for row in hard if row.kind == kind)
            assert count >= 8 or (kind, word) == ("own_data", "translate"), (kind, word)


def test_rows_are_written_without_empty_fields(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "rows.jsonl"
    assert write(path, [Row("Grüße", "user", 0, "kind", "rules", "de")]) == 1
    row = {"text": "Grüße", "role": "user", "label": 0, "kind": "kind", "source": "rules", "lang": "de"}
    assert json.loads(path.read_text(encoding="utf-8")) == row


def test_material_is_empty_without_the_shared_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_data, "SHARED", tmp_path)
    assert guard_data.material() == Material([], [], [])
