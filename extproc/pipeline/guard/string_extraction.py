"""Extracts from JSON the strings that a model may read as text. Pure; used by text_extraction.py.

Left out: words of the API itself, identifiers without words, and files without text. A string that is JSON itself, such
as the arguments of a tool call, is replaced by the strings in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from extproc.codecs import json_size
from extproc.codecs.json_values import decode_json
from extproc.errors import InvalidRequest, RequestTooLarge
from extproc.pipeline.guard.english_words import LETTER_RUN, english_share, segment
from extproc.pipeline.guard.file_text import file_text
from extproc.shared.filter_config import JsonValue

# Keys and values of the API itself. Every client sends them; they carry no message to a model.
_API_TERMS: Final = """
    additionalProperties allOf anyOf annotations arguments array assistant audio auto boolean content custom
    data default definition description detail developer enum file file_data file_id filename format function
    functions grammar high id image_url index input_audio input_image input_text integer items json_object
    json_schema low maximum max_tokens minimum model mp3 name none null number object oneOf output output_text
    parallel_tool_calls parameters pattern prediction properties reasoning_content refusal required
    response_format role schema stop strict string syntax system temperature text thinking tool tool_call_id
    tool_calls tool_choice tool_result tool_use tools type url user wav
"""
_API_WORDS: Final = frozenset(_API_TERMS.split())
_FILE_KEYS: Final = frozenset({"data", "file_data", "image_url", "url"})

# JSON inside strings may hold this many values in one request, all strings together.
MAX_INNER_VALUES: Final = 200_000
# The check of an identifier takes half a millisecond for 120 letters. Further identifiers are read as text, unchecked.
_MAX_IDENTIFIERS: Final = 512

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
_STRING_LITERAL: Final = re.compile(rb'"((?:[^"\\]++|\\.)*+)"(\s*:)?', re.DOTALL)


class StringExtractor:
    """Extracts the strings of one request. Counts values and identifiers against the limits above."""

    def __init__(self) -> None:
        self._inner_values = 0
        self._identifiers = 0

    def from_json(self, raw: bytes, key: str) -> Iterator[str]:
        """Yields the readable strings of a JSON text, keys included. `key`: the key that the text is the value of.

        Reads the raw text, since that is what leaves the gateway: of duplicate keys, a parser keeps only one value, and
        another parser may keep the other. Raises `InvalidRequest`.
        """
        for literal in _STRING_LITERAL.finditer(raw):
            text = str(decode_json(b'"' + literal[1] + b'"'))
            if literal[2]:
                key = text
                if text not in _API_WORDS:
                    yield text
            elif readable := self._readable(text, key):
                yield readable

    def from_value(self, value: JsonValue, key: str) -> Iterator[str]:
        """Yields the readable strings of `value`, keys included. `key`: the key of `value`."""
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
                    if name not in _API_WORDS:
                        pending.append((name, "key"))

    def _readable(self, text: str, key: str) -> str | None:
        """Returns what a model may read of a string: the string, the text of the file in it, or None."""
        if text in _API_WORDS or not text.strip():
            return None
        if key == "id" or key.endswith("_id"):
            self._identifiers += 1
            return text if self._identifiers > _MAX_IDENTIFIERS or _is_sentence(text) else None
        if key in _FILE_KEYS and (file := file_text(text)) is not None:
            return file
        return self._from_inner_json(text, key) or text

    def _from_inner_json(self, text: str, key: str) -> str | None:
        """Returns the strings of a JSON text, one a line; None if `text` is no JSON object or array."""
        if text.lstrip()[:1] not in {"{", "["}:
            return None
        try:
            # Checks the syntax without building objects: a string may hold millions of values.
            msgspec.json.decode(text, type=msgspec.Raw)
            raw = text.encode()
            self._count_values(raw)
            return "\n".join(self.from_json(raw, key))
        except (msgspec.DecodeError, InvalidRequest, UnicodeError, RecursionError):
            return None

    def _count_values(self, raw: bytes) -> None:
        """Adds the values of a JSON text to the count.

        Raises `RequestTooLarge` over the limit, `InvalidRequest` for too deep nesting and too long numbers.
        """
        try:
            self._inner_values += json_size.check(raw, MAX_INNER_VALUES - self._inner_values)
        except RequestTooLarge:
            raise RequestTooLarge(
                f"The JSON inside strings of the request holds more than {MAX_INNER_VALUES} values, which is the limit."
            ) from None


def _is_sentence(identifier: str) -> bool:
    """Returns whether an identifier consists of English words rather than random letters and digits."""
    if not _IDENTIFIER.fullmatch(identifier):
        return True
    words = segment("".join(LETTER_RUN.findall(identifier)))
    return sum(len(word) > 2 for word in words) >= 4 and english_share(" ".join(words)) > 0.8
