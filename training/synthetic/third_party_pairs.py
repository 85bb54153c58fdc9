"""Texts of third parties in pairs: the same carrier with a request to the AI assistant, and with a harmless sentence.

Both sentences are of about one length and stand at one place, so that the carrier does not reveal the label. Carriers:
mails, tables, code, tool results, pages, logs, transcripts, some from public documents. Used by guard_data.py.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import yaml

from training.guard_rows import Row
from training.synthetic.grammar import Grammar, read
from training.synthetic.typing_errors import with_typing_errors

SLOT = "\ue000"  # stands for the sentence in a carrier
LANGUAGES = ("python", "js", "sql", "shell", "java")
_GRAMMARS = Path(__file__).parent / "grammars"
_WORDS = [_GRAMMARS / "shared" / f"{name}.txt" for name in ("things", "plain", "orders")]
_COMMENT = {"python": "# ", "js": "// ", "sql": "-- ", "shell": "# ", "java": "// "}
# Shares of the tones of a request and of the harmless sentence in its place.
_TONES = ("bare", "bare", "bare", "bare", "bare", "emphatic", "emphatic", "note", "note")
_USER_SHARE, _FOREIGN_SHARE, _PUBLIC_SHARE = 0.25, 0.3, 0.2
_MAX_SENTENCE = 400  # characters of a sentence from elsewhere


@dataclass(frozen=True, slots=True)
class Given:
    """A text from a public source."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Material:
    """Texts from public sources: requests to an assistant, harmless sentences, and documents to carry them."""

    requests: Sequence[Given] = ()
    sentences: Sequence[Given] = ()
    documents: Sequence[Given] = ()


@dataclass(frozen=True, slots=True)
class _Carrier:
    """A text with SLOT once in it. `escape` fits the sentence to the format."""

    text: str
    kind: str
    role: str
    escape: Callable[[str], str] = str
    source: str = "rules"

    def filled(self, sentence: str) -> str:
        return self.text.replace(SLOT, self.escape(sentence))


@cache
def grammar(name: str) -> Grammar:
    """Returns the grammar of one file of grammars/pairs with the shared words."""
    return Grammar(read(*_WORDS, _GRAMMARS / "pairs" / f"{name}.txt"))


def third_party_pairs(count: int, material: Material, seed: int = 0) -> Iterator[Row]:
    """Yields `count` pairs of rows, the attack first; the same ones for the same seed and material."""
    random = Random(f"pairs {seed}")  # noqa: S311 - no secret
    seen: set[str] = set()
    number = 0
    while number < count:
        carrier = _carrier(random, material)
        tone = random.choice(_TONES)
        request = _request(random, tone, carrier.kind, material)
        if request.text.lower() in seen:
            continue
        seen.add(request.text.lower())
        harmless = _harmless(random, tone, len(request.text), material)
        number += 1
        for label, sentence in ((1, request), (0, harmless)):
            yield Row(
                text=carrier.filled(sentence.text),
                role=carrier.role,
                label=label,
                kind=f"{carrier.kind}/{tone}",
                source=carrier.source,
                pair=f"pair-{seed}-{number}",
                payload_source=sentence.source,
            )


def _request(random: Random, tone: str, kind: str, material: Material) -> Given:
    """Returns a request to the assistant. In a mail, a bare one is no action: people ask each other."""
    if tone == "bare" and kind not in ("mail", "transcript") and material.requests and random.random() < _FOREIGN_SHARE:
        return random.choice(material.requests)
    rule = random.choice(("task", "question", "style", "advert")) if tone == "bare" and kind == "mail" else tone
    return Given(_typed(grammar("requests").text(random, rule), random), "rules")


def _harmless(random: Random, tone: str, length: int, material: Material) -> Given:
    """Returns a harmless sentence of about the length of the request."""
    if tone == "bare" and material.sentences and random.random() < _FOREIGN_SHARE:
        return min(random.sample(material.sentences, 12), key=lambda given: abs(len(given.text) - length))
    drawn = [grammar("harmless").text(random, tone) for _ in range(4)]
    drawn.append(f"{drawn[0]} {grammar('harmless').text(random, 'bare')}")
    best = min(drawn, key=lambda text: abs(len(text) - length))
    return Given(_typed(best, random), "rules")


def _typed(text: str, random: Random) -> str:
    return with_typing_errors(text, random) if random.random() < 0.3 else text


def _carrier(random: Random, material: Material) -> _Carrier:
    if material.documents and random.random() < _PUBLIC_SHARE:
        carrier = _of_document(random, random.choice(material.documents))
    else:
        carrier = random.choice((_mail, _mail, _table, _tool_result, _tool_result, _tool_result, _code, _page, _other))(
            random
        )
    return _asked(random, carrier) if random.random() < _USER_SHARE else carrier


def _asked(random: Random, carrier: _Carrier) -> _Carrier:
    """Returns the carrier as a user pastes it, with a question about it."""
    words = grammar("carriers")
    fence = random.choice(("{}", "{}", "```\n{}\n```", '"""\n{}\n"""', "---\n{}\n---", "<text>\n{}\n</text>"))
    body = fence.format(carrier.text)
    if random.random() < 0.6:
        text = f"{words.text(random, 'user_question_before')}\n\n{body}"
    else:
        text = f"{body}\n\n{words.text(random, 'user_question_after')}"
    return _Carrier(text, carrier.kind, "user", carrier.escape, carrier.source)


def _placed(random: Random, parts: list[str], between: str = "\n") -> str:
    """Joins the parts with SLOT at the start, the end or between two of them."""
    place = random.choice((0, len(parts), random.randint(0, len(parts)), random.randint(0, len(parts))))
    return between.join([*parts[:place], SLOT, *parts[place:]])


def _mail(random: Random) -> _Carrier:
    words = grammar("carriers")
    style = random.choice(("mail_business", "mail_private", "mail_business", "mail_news"))
    body = [words.text(random, style) for _ in range(random.randint(1, 6))]
    text = _placed(random, list(dict.fromkeys(body)), random.choice((" ", "\n", "\n\n")))
    name = words.text(random, "name")
    if random.random() < 0.85:
        text = words.text(random, "mail_hello") + "\n\n" + text
    if random.random() < 0.85:
        text += "\n\n" + words.text(random, "mail_bye") + "\n" + name
    if random.random() < 0.3:
        text += "\n\n" + words.text(random, "mail_foot")
    if random.random() < 0.2:
        quoted = "\n".join(f"> {words.text(random, style)}" for _ in range(random.randint(1, 3)))
        text += "\n\n" + words.text(random, "mail_quoted_by") + "\n" + quoted
    if random.random() < 0.6:
        text = words.text(random, "mail_head") + "\n\n" + text
    return _Carrier(text, "mail", random.choice(("document", "tool")))


def _records(random: Random, low: int, high: int) -> list[dict[str, str]]:
    """Returns records of one kind, SLOT in a free text of one of them."""
    words = grammar("carriers")
    kind = random.choice(words.alternatives("record")).strip("{}")
    line = random.randrange(len(words.alternatives(kind)))
    drawn = [words.text(random, kind, line=line) for _ in range(random.randint(low, high))]
    chosen = random.randrange(len(drawn))
    records = []
    for index, record in enumerate(drawn):
        fields = dict(part.split("=", 1) for part in record.split(";;"))
        free = [name for name in fields if name.endswith("*")]
        target = random.choice(free) if index == chosen else ""
        records.append(
            {name.rstrip("*"): _inserted(random, text) if name == target else text for name, text in fields.items()}
        )
    return records


def _inserted(random: Random, text: str) -> str:
    """Returns the text with SLOT before it, after it, between two sentences, or in its place."""
    sentences = re.split(r"(?<=[.!?]) ", text)
    return SLOT if random.random() < 0.25 else _placed(random, sentences, " ")


def _json_escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _typed_value(text: str) -> object:
    return int(text) if text.isdigit() and len(text) < 6 else text


def _tool_result(random: Random) -> _Carrier:
    records = _records(random, 1, 4)
    form = random.choice((_as_json, _as_json, _as_json, _as_yaml, _as_xml, _as_lines, _as_python))
    text, escape = form(random, records)
    return _Carrier(text, "tool_result", "tool" if random.random() < 0.85 else "document", escape)


_Formed = tuple[str, Callable[[str], str]]


def _as_json(random: Random, records: list[dict[str, str]]) -> _Formed:
    items = [{name: _typed_value(text) for name, text in record.items()} for record in records]
    key = random.choice(("results", "items", "data", "records", "entries", "output"))
    wrapped: object = items[0] if len(items) == 1 and random.random() < 0.6 else items
    if random.random() < 0.5:
        wrapped = {"status": "ok", key: wrapped} if random.random() < 0.5 else {key: wrapped, "total": len(items)}
    indent = random.choice((None, None, 1, 2, 4))
    return json.dumps(wrapped, ensure_ascii=False, indent=indent), _json_escaped


def _as_python(random: Random, records: list[dict[str, str]]) -> _Formed:
    text = repr(records if len(records) > 1 else records[0]).replace(repr(SLOT)[1:-1], SLOT)
    return text, lambda sentence: sentence.replace("'", "\\'").replace("\n", "\\n")


def _as_yaml(random: Random, records: list[dict[str, str]]) -> _Formed:
    text = yaml.safe_dump(records, sort_keys=False, allow_unicode=True, width=100_000)
    return text.replace('"\\uE000', f'"{SLOT}').replace("\\uE000", SLOT), str


def _as_xml(random: Random, records: list[dict[str, str]]) -> _Formed:
    tag = random.choice(("item", "result", "record", "entry", "row"))
    rows = [
        "".join(f"<{name}>{html.escape(text, quote=False)}</{name}>" for name, text in record.items())
        for record in records
    ]
    between = random.choice(("", "\n"))
    return between.join(f"<{tag}>{row}</{tag}>" for row in rows), lambda text: html.escape(text, quote=False)


def _as_lines(random: Random, records: list[dict[str, str]]) -> _Formed:
    between = random.choice(("\n", "\n", " | "))
    sign = random.choice((": ", ": ", " = ", " - "))
    rows = [
        between.join(f"{name.replace('_', ' ').capitalize()}{sign}{text}" for name, text in record.items())
        for record in records
    ]
    return random.choice(("\n\n", "\n---\n")).join(rows), str


def _table(random: Random) -> _Carrier:
    records = _records(random, 2, 8)
    names = list(records[0])
    form = random.choice(("markdown", "markdown", "csv", "csv", "html", "tsv", "ascii"))
    escape: Callable[[str], str] = str
    if form == "csv":
        text, escape = _csv(records), lambda sentence: sentence.replace('"', '""')
    elif form == "html":
        head = "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"
        rows = [
            "<tr>" + "".join(f"<td>{html.escape(cell, quote=False)}</td>" for cell in record.values()) + "</tr>"
            for record in records
        ]
        text, escape = (
            "<table>\n" + "\n".join([head, *rows]) + "\n</table>",
            lambda sentence: html.escape(sentence, quote=False),
        )
    elif form == "tsv":
        text = "\n".join("\t".join(cells) for cells in (names, *(list(record.values()) for record in records)))
    else:
        sides = ("| ", " |") if form == "markdown" else ("", "")
        lines = [
            sides[0] + " | ".join(cells) + sides[1] for cells in (names, *(list(record.values()) for record in records))
        ]
        if form == "markdown":
            lines.insert(1, "|" + " --- |" * len(names))
        text = "\n".join(lines)
    if random.random() < 0.25:  # the sentence under or over the table
        text, escape = text.replace(SLOT, grammar("carriers").text(random, "work_text")), str
        text = random.choice((f"{SLOT}\n\n{text}", f"{text}\n\n{SLOT}", f"{text}\n{SLOT}"))
    return _Carrier(text, "table", random.choice(("document", "document", "tool")), escape)


def _csv(records: list[dict[str, str]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue().strip()


def _code(random: Random) -> _Carrier:
    words = grammar("carriers")
    language = random.choice(LANGUAGES)
    sign = _COMMENT[language]
    parts = [words.text(random, f"code_{language}") for _ in range(random.randint(1, 6))]
    for index in range(len(parts)):
        if random.random() < 0.3:
            parts[index] = f"{sign}{words.text(random, 'code_comment')}\n{parts[index]}"
    form = random.random()
    text = _placed(random, parts, "\n" if form < 0.5 else "\n\n")
    if form < 0.7:
        text = text.replace(SLOT, f"{sign}{SLOT}")
    elif form < 0.85:
        block = {"python": '"""{}"""', "js": "/* {} */", "java": "/** {} */", "sql": "/* {} */", "shell": 'echo "{}"'}
        text = text.replace(SLOT, block[language].format(SLOT))
    if random.random() < 0.25:
        text = f"{words.text(random, 'code_question')}\n\n```{language}\n{text}\n```"
    one_line = random.choice((" ", f"\n{sign}"))
    return _Carrier(
        text, "code", random.choice(("document", "tool")), lambda sentence: sentence.replace("\n", one_line)
    )


def _page(random: Random) -> _Carrier:
    words = grammar("carriers")
    parts = [words.text(random, "page_part") for _ in range(random.randint(2, 9))]
    title = words.text(random, "title_text")
    if random.random() < 0.35:
        hidden = random.choice(
            (
                "<p>{}</p>",
                "<p>{}</p>",
                '<span style="display:none">{}</span>',
                "<!-- {} -->",
                "<li>{}</li>",
                "<footer>{}</footer>",
            )
        )
        tags = [f"<p>{html.escape(part, quote=False)}</p>" for part in parts]
        body = _placed(random, tags).replace(SLOT, hidden.format(SLOT))
        text = f"<html><head><title>{title}</title></head><body>\n<h1>{title}</h1>\n{body}\n</body></html>"
        return _Carrier(
            text, "page", random.choice(("document", "tool")), lambda sentence: html.escape(sentence, quote=False)
        )
    text = _placed(random, parts, "\n\n")
    if random.random() < 0.3:  # within a paragraph
        place = random.randrange(len(parts))
        parts[place] = _placed(random, re.split(r"(?<=[.!?]) ", parts[place]), " ")
        text = "\n\n".join(parts)
    return _Carrier(
        f"# {title}\n\n{text}" if random.random() < 0.5 else text, "page", random.choice(("document", "tool"))
    )


def _other(random: Random) -> _Carrier:
    kind, rule = random.choice(
        (("log", "log_line"), ("transcript", "transcript_line"), ("prose", "paragraph"), ("prose", "prose"))
    )
    words = grammar("carriers")
    lines = [words.text(random, rule) for _ in range(random.randint(2, 10))]
    text = _placed(random, lines, "\n" if kind != "prose" else random.choice((" ", "\n\n")))
    if kind == "log":
        text = text.replace(SLOT, words.text(random, "log_head") + SLOT)
    elif kind == "transcript":
        text = text.replace(SLOT, words.text(random, "name") + ": " + SLOT)
    return _Carrier(text, kind, random.choice(("document", "tool")), lambda sentence: sentence.replace("\n", " "))


def _of_document(random: Random, document: Given) -> _Carrier:
    """Returns a part of a public document with SLOT at one of its line or sentence ends."""
    ends = [match.end() for match in re.finditer(r"\n+|(?<=[.!?]) ", document.text)]
    ends = [end for end in ends if end < len(document.text)]
    start = random.choice([0, *ends[: len(ends) // 2]])
    text = document.text[start : start + random.randint(200, 2500)]
    places = [end - start for end in ends if 0 < end - start < len(text)]
    place = random.choice([0, len(text), *random.choices(places or [0], k=3)])
    before, after = text[:place], text[place:]
    between = random.choice(("\n", "\n", " "))
    return _Carrier(
        f"{before.rstrip()}{between}{SLOT}{between}{after.lstrip(' ')}".strip(),
        "public",
        random.choice(("document", "tool")),
        source=document.source,
    )
