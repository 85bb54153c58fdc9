"""Caches what the guards' models said about texts. Used by evaluator.py."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from extproc.pipeline.guard.text_extraction import RequestText
from extproc.shared.roles import Role
from extproc.shared.scripts import Script


@dataclass(frozen=True, slots=True)
class Judgement:
    """The attack probability of a text, and the scripts of its parts that the model could not read."""

    probability: float
    unreadable: frozenset[Script] = frozenset()


def cache_key(text: RequestText, kind: str = "") -> bytes:
    """Returns a key that depends on the role of a text, too. `kind` separates the keys of different judgements."""
    # A strong hash, so that nobody can craft an attack with the key of a harmless text.
    person = f"{kind}{text.role}".encode()
    return blake2b(text.text.encode(errors="surrogatepass"), digest_size=16, person=person).digest()


class JudgementCache:
    """The most recently used judgements, by the role of the model and the key of the text or chunk.

    cachetools.LRUCache takes two to four times as long for each call.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._judgements: OrderedDict[tuple[Role, bytes], Judgement] = OrderedDict()

    def get(self, key: tuple[Role, bytes]) -> Judgement | None:
        judgement = self._judgements.get(key)
        if judgement is not None:
            self._judgements.move_to_end(key)
        return judgement

    def put(self, key: tuple[Role, bytes], judgement: Judgement) -> None:
        self._judgements[key] = judgement
        self._judgements.move_to_end(key)
        while len(self._judgements) > self._size:
            self._judgements.popitem(last=False)
