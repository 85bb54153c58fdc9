"""Which texts of a request the guards read: every string that a client wrote and that a model may read.

By structure and not by a list of known fields: what a provider will read tomorrow is read here today. Pure.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec

from extproc.codecs import json_size
from extproc.codecs.json_values import decode_json
from extproc.conversation import state
from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.messages import SYSTEM_ROLES, Message, has_tool_calls
from extproc.errors import InvalidRequest, RequestTooLarge
from extproc.pipeline import client_retries
from extproc.pipeline.guard import binary_files, encodings
from extproc.pipeline.guard.english_words import LETTERS, likeness, segment
from extproc.shared.filter_config import Guard, JsonValue

# Roles that do not answer an assistant.
_UNANSWERING: Final = frozenset({"assistant", *SYSTEM_ROLES})
# Roles that answer an LLM's calls.
_RESULTS: Final = frozenset({"tool", "function"})
# The vocabulary of the API itself: said by every client, by none to a model.
_API_WORDS: Final = """
    additionalProperties allOf anyOf annotations arguments array assistant audio auto boolean content custom
    data default definition description detail developer enum file file_data file_id filename format function
    functions grammar high id image_url index input_audio input_image input_text integer items json_object
    json_schema low maximum max_tokens minimum model mp3 name none null number object oneOf output output_text
    parallel_tool_calls parameters pattern prediction properties reasoning_content refusal required
    response_format role schema stop strict string syntax system temperature text thinking tool tool_call_id
    tool_calls tool_choice tool_result tool_use tools type url user wav
"""
_VOCABULARY: Final = frozenset(_API_WORDS.split())
# Where a file stands: its bytes are no text to read, unless they are text.
_FILES: Final = frozenset({"data", "file_data", "image_url", "url"})
_DATA_URL: Final = re.compile(r"\s*data:([^,]{0,200});base64,", re.IGNORECASE)
# Declared so, a file is read as text by some, whatever its bytes are. SVG is one of them.
_TEXT_TYPE: Final = re.compile(r"text/|[^;]*\b(json|xml|yaml|javascript)\b", re.IGNORECASE)
_SHORTEST_FILE: Final = 256
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_SPACES: Final = b" \t\n\r\v\f"
_PRINTABLE: Final = bytes(range(0x20, 0x7F)) + b"\t\n\r"
# The share of bytes that are not ASCII in a text of another character set; in other files it is more than half.
_OTHER_BYTES: Final = 0.2
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")

# So many words may be an attack; more sentences of one place than this are read together again.
_SENTENCE: Final = 5
_MOST_APART: Final = 24

# JSON inside strings (arguments of calls, results of tools) may hold so many values in one request, all together.
MAX_INNER_VALUES: Final = 200_000
# Looking for a sentence in an identifier takes half a millisecond for 120 letters. More identifiers are read as text.
_MAX_IDENTIFIERS: Final = 512

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_LITERAL: Final = re.compile(rb'"((?:[^"\\]++|\\.)*+)"(\s*:)?', re.DOTALL)
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Screened:
    """Each text once, in the order of the request.

    `echoes` are those of them that nobody but the assistant says, in the content of its messages, and that somebody
    answers: the beginning of an answer that the LLM shall go on with is the client's own.
    """

    texts: tuple[str, ...]
    echoes: frozenset[str]


def screen(request: ChatRequest) -> Screened:
    """What one side says without the other in between is one text, since a model reads it as one. Of a tool, and of
    what else there is of one field, each sentence is one, and the names and words beside them are another.

    Raises `InvalidRequest`, and `RequestTooLarge` where JSON inside strings holds more than `MAX_INNER_VALUES`.
    """
    reader = _Reader()
    said = list(_conversation(request.messages, reader))
    echoes = {text for text, echo in said if echo} - {text for text, echo in said if not echo}
    found = [text for text, _ in said]
    around: list[str] = []
    for name, raw in request.fields_for_models.items():
        around += [text for place in _places(raw) for text in _apart(reader.literals(bytes(place), name))]
    metadata = state.without(request.metadata)
    around += _apart(reader.strings(metadata, "metadata"))
    question = state.load(request.metadata).question
    if question is not None:
        around += _apart(reader.strings(dict(question), "metadata"))
    every = tuple(dict.fromkeys(text for text in (*found, *around) if text.strip()))
    return Screened(every, frozenset(echoes.difference(around)))


def texts(request: ChatRequest) -> tuple[str, ...]:
    """Every text. Raises `InvalidRequest`."""
    return screen(request).texts


def conversation_texts(messages: Sequence[Message]) -> frozenset[str]:
    """The texts that `screen` finds in these messages, where they are whole runs of one role each."""
    return frozenset(text for text, _ in _conversation(messages, _Reader()))


def _conversation(messages: Sequence[Message], reader: _Reader) -> Iterator[tuple[str, bool]]:
    """What each side says, turn by turn, and whether it is the assistant; then what stands around it: names, calls,
    whatever else.
    """
    last = max((index for index, message in enumerate(messages) if message["role"] not in _UNANSWERING), default=0)
    index = 0
    while index < len(messages):
        end = index + 1
        while end < len(messages) and messages[end]["role"] == messages[index]["role"]:
            end += 1
        said: list[str] = []
        around: list[str] = []
        for message in messages[index:end]:
            for key, value in message.items():
                if key == "content":
                    said += reader.strings(value, key)
                elif key != "model":
                    around += reader.strings({key: value}, key)
        echo = messages[index]["role"] == "assistant" and index < last
        yield "\n".join(said), echo
        # A word may be cut by the border of two parts.
        if any(before[-1:].isalnum() and after[:1].isalnum() for before, after in pairwise(said)):
            yield "".join(said), echo
        yield from ((text, False) for text in _apart(around))
        index = end


def _apart(strings: Iterable[str]) -> list[str]:
    """Sentences each by itself, since an attack drowns among names and descriptions; the rest as one text."""
    sentences: list[str] = []
    rest: list[str] = []
    for text in (line for string in strings for line in string.split("\n")):
        (sentences if len(text.split()) >= _SENTENCE and len(sentences) < _MOST_APART else rest).append(text)
    return [*sentences, "\n".join(rest)]


def _places(raw: msgspec.Raw) -> Sequence[msgspec.Raw]:
    """The elements of an array, else the value itself."""
    return _ITEMS.decode(raw) if bytes(raw).lstrip()[:1] == b"[" else [raw]


class _Reader:
    """Finds the strings of one request that say something. Bounded by `MAX_INNER_VALUES` and `_MAX_IDENTIFIERS`."""

    def __init__(self) -> None:
        self._inner_values = 0
        self._identifiers = 0

    def literals(self, raw: bytes, key: str) -> Iterator[str]:
        """Every string in a JSON text that says something, keys too.

        As it is written, since it leaves so: of a key that stands twice a parser reads one value, and another parser
        the other. Raises `InvalidRequest`.
        """
        for literal in _LITERAL.finditer(raw):
            text = str(decode_json(b'"' + literal[1] + b'"'))
            if literal[2]:
                key = text
                if text not in _VOCABULARY:
                    yield text
            elif readable := self._readable(text, key):
                yield readable

    def strings(self, value: JsonValue, key: str) -> Iterator[str]:
        """Every string in `value` that says something, keys too."""
        pending: list[tuple[JsonValue, str]] = [(value, key)]
        while pending:
            value, key = pending.pop()
            if isinstance(value, str):
                if text := self._readable(value, key):
                    yield text
            elif isinstance(value, list):
                pending += [(item, key) for item in reversed(value)]
            elif isinstance(value, dict):
                for name, item in reversed(value.items()):
                    pending.append((item, name))
                    if name not in _VOCABULARY:
                        pending.append((name, "key"))

    def _readable(self, text: str, key: str) -> str | None:
        """What a model reads of a string: itself, the text of a file in it, or nothing."""
        if text in _VOCABULARY or not text.strip():
            return None
        if key == "id" or key.endswith("_id"):
            self._identifiers += 1
            return text if self._identifiers > _MAX_IDENTIFIERS or _says_something(text) else None
        if key in _FILES:
            url = _DATA_URL.match(text)
            start = url.end() if url else 0
            if (encoded := _base64(text[start:])) is not None:
                if binary_files.is_medium(encoded) and not (url and _TEXT_TYPE.match(url[1])):
                    return None
                if len(encoded) >= _SHORTEST_FILE:
                    return _file(encoded)
        return self._of_json(text, key) or text

    def _of_json(self, text: str, key: str) -> str | None:
        """What a JSON text says, such as the arguments of a call: its strings without the signs between them."""
        if text.lstrip()[:1] not in {"{", "["}:
            return None
        try:
            # Checks the syntax and builds no objects: a string may hold millions of values.
            msgspec.json.decode(text, type=msgspec.Raw)
            raw = text.encode()
            self._count(raw)
            return "\n".join(self.literals(raw, key))
        except (msgspec.DecodeError, InvalidRequest, UnicodeError, RecursionError):
            return None

    def _count(self, raw: bytes) -> None:
        """Raises `RequestTooLarge`, and `InvalidRequest` for nesting and numbers that no parser should be given."""
        try:
            self._inner_values += json_size.check(raw, MAX_INNER_VALUES - self._inner_values)
        except RequestTooLarge:
            raise RequestTooLarge(
                f"The JSON inside strings of the request holds more than {MAX_INNER_VALUES} values, which is the limit."
            ) from None


def _says_something(identifier: str) -> bool:
    """Whether an identifier is a sentence in disguise rather than letters and digits at random."""
    if not _IDENTIFIER.fullmatch(identifier):
        return True
    words = segment("".join(LETTERS.findall(identifier)))
    return sum(len(word) > 2 for word in words) >= 4 and likeness(" ".join(words)) > 0.8


def _base64(text: str) -> bytes | None:
    """The letters of a text that is base64, without spaces and padding; None where it is anything else.

    By short passes over bytes: one regular expression would hold Python's lock for all of a large file.
    """
    try:
        raw = (text if text.isascii() else re.sub(r"\s", "", text)).encode("ascii")
    except UnicodeEncodeError:
        return None
    raw = raw.translate(None, _SPACES)
    letters = raw.rstrip(b"=")
    is_base64 = letters and len(raw) - len(letters) <= 2 and not letters.translate(None, _BASE64)
    return letters.translate(_URL_SAFE) if is_base64 else None


def _file(letters: bytes) -> str | None:
    """The text of a file in base64, or the English between its other bytes; None where there is none."""
    try:
        raw = binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))
    except binascii.Error:
        return None
    try:
        return raw.decode("utf-16" if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8")
    except UnicodeDecodeError:
        is_text = len(raw.translate(None, _PRINTABLE)) < _OTHER_BYTES * len(raw)
        return raw.decode("cp1252", errors="replace") if is_text else encodings.text_between(raw)


def without_refused(request: ChatRequest, guards: Sequence[Guard]) -> ChatRequest:
    """The conversation without the turns that a guard refused: nobody reads them any more, neither guard nor model.

    A client sends the whole conversation each time: an attack that was refused once would block it for ever. Whoever
    forges a refusal takes his own words out of the conversation. Raises `InvalidRequest` where nothing is left.
    """
    start, _ = client_retries.first_try(request, guards)
    kept: list[Message] = []
    for index, message in enumerate(request.messages):
        # What is retried stays, to be refused again.
        if index < start and client_retries.is_refusal(message, guards):
            _take_back_turn(kept)
        else:
            kept.append(message)
    return request if len(kept) == len(request.messages) else request.with_messages(kept)


def _take_back_turn(kept: list[Message]) -> None:
    """Drop what was refused from the end: the user's last messages, and calls with their results after those."""
    while kept and (kept[-1]["role"] in _RESULTS or has_tool_calls(kept[-1])):
        kept.pop()
    while kept and kept[-1]["role"] == "user":
        kept.pop()
