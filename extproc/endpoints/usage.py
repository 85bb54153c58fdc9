"""`usage` of the gateway's own answers, which no LLM has counted. Pure; used by pipeline/response_assembly.py.

Tokens are the word pieces of bert-base-uncased, as in the embedding model shipped. One difference: a word that holds an
unknown character is as many tokens as its parts, instead of one.
https://arxiv.org/abs/1810.04805
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from extproc.conversation.messages import Message, texts
from extproc.shared.filter_config import JsonValue
from extproc.vocabulary import PIECES

# Characters that are counted; a longer text is taken to go on as it began. The worst ones take a third of a second.
_COUNTED: Final = 32 << 10

_KNOWN: Final = frozenset(PIECES)
_LONGEST: Final = 18
# Words and digits, and each sign by itself.
_WORD: Final = re.compile(r"[^\W_]+|[^\w\s]|_")
_CACHED: Final = 24


def usage(messages: Iterable[Message], answer: str) -> Mapping[str, JsonValue]:
    """The `usage` of `answer` to these messages: the texts of their contents are the prompt."""
    prompt = tokens("\n".join(text for message in messages for text in texts(message)))
    completion = tokens(answer)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def tokens(text: str) -> int:
    """The number of tokens of `text`, at least one where it holds anything but spaces."""
    counted = text[:_COUNTED]
    # The vocabulary has neither accents nor capitals.
    plain = counted if counted.isascii() else _without_accents(counted)
    found = sum(_pieces(word) if len(word) <= _CACHED else _cut(word) for word in _WORD.findall(plain.lower()))
    return found if len(text) <= _COUNTED else found * len(text) // _COUNTED


def _without_accents(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


def _cut(word: str) -> int:
    """The longest piece from each place on; a character that is in none counts as one."""
    count = start = 0
    while start < len(word):
        prefix = "##" if start else ""
        end = min(start + _LONGEST, len(word))
        while end > start + 1 and prefix + word[start:end] not in _KNOWN:
            end -= 1
        count, start = count + 1, end
    return count


_pieces: Final = lru_cache(maxsize=4096)(_cut)
