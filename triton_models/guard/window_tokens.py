"""Tokens of the default guard: a window of text behind a word for its role. Used by scorer.py and in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

# A window is cut by the tokens of a whole text, so that it may have up to twice as many.
_MAX_TOKENS: Final = 256
# The word that stands before a text for its role. An unknown role counts as a user's text.
ROLE_WORDS: Final[Mapping[str, str]] = {
    "user": "user",
    "tool": "tool",
    "document": "document",
    "system": "system",
    "tools": "function",
}
DEFAULT_ROLE: Final = "user"


class WindowTokenizer:
    """Cuts texts, and makes the token ids that the model reads."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._first, self._end = self._token("[CLS]"), self._token("[SEP]")
        self._roles = {role: self._token(word) for role, word in ROLE_WORDS.items()}

    def spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Returns the start and end of each token of `text`, in characters."""
        offsets: Sequence[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets

    def ids(self, window: str, role: str) -> list[int]:
        """Returns the token ids of one window: the role, then the text."""
        tokens = self._tokenizer.encode(window, add_special_tokens=False).ids[:_MAX_TOKENS]
        return [self._first, self._roles.get(role, self._roles[DEFAULT_ROLE]), self._end, *tokens, self._end]

    def _token(self, name: str) -> int:
        token = self._tokenizer.token_to_id(name)
        if token is None:
            raise ValueError(f"the guard's tokenizer has no token {name}")
        return int(token)
