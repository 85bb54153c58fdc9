"""The `usage` object of answers that the gateway writes itself. Pure; used by pipeline/response_assembly.py.

A token is a WordPiece of bert-base-uncased, as in the shipped embedding model (https://arxiv.org/abs/1810.04805). One
difference: BERT counts a word with an unknown character as one token; here each of its pieces counts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from extproc.conversation.messages import Message, texts
from extproc.shared.filter_config import JsonValue
from extproc.vocabulary import WORD_PIECES

# Characters. Only the start of a longer text is counted, and the count is scaled up. The worst text of this length
# takes a third of a second.
_MAX_COUNTED: Final = 32 << 10

_KNOWN: Final = frozenset(WORD_PIECES)
_LONGEST_PIECE: Final = 18
# A run of letters and digits, or one other sign.
_WORD: Final = re.compile(r"[^\W_]+|[^\w\s]|_")
# Characters. Longer words are rare and not cached.
_LONGEST_CACHED: Final = 24


def usage(messages: Iterable[Message], answer: str) -> Mapping[str, JsonValue]:
    """Returns `usage` for `answer` to `messages`. The prompt is the text content of all messages."""
    prompt = count_tokens("\n".join(text for message in messages for text in texts(message)))
    completion = count_tokens(answer)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def count_tokens(text: str) -> int:
    """Returns the number of tokens in `text`: 0 only for an empty text or white space."""
    counted = text[:_MAX_COUNTED]
    # The vocabulary is in lower case and without accents.
    plain = counted if counted.isascii() else _strip_accents(counted)
    count = sum(
        _count_pieces_cached(word) if len(word) <= _LONGEST_CACHED else _count_pieces(word)
        for word in _WORD.findall(plain.lower())
    )
    return count if len(text) <= _MAX_COUNTED else count * len(text) // _MAX_COUNTED


def _strip_accents(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char) != "Mn")


def _count_pieces(word: str) -> int:
    """Cuts `word` greedily into the longest known pieces. An unknown character is one piece."""
    count = start = 0
    while start < len(word):
        prefix = "##" if start else ""
        end = min(start + _LONGEST_PIECE, len(word))
        while end > start + 1 and prefix + word[start:end] not in _KNOWN:
            end -= 1
        count, start = count + 1, end
    return count


_count_pieces_cached: Final = lru_cache(maxsize=4096)(_count_pieces)
