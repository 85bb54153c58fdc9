"""Attacks, and all ways of hiding them in a request: the spelling of the text, its position, and the body's JSON.

Used by bypass.py, tests/dataplane/test_guard_bypass.py and the guard's tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from evaluation.request_positions import BODIES, PLACES, Json, user_request
from evaluation.spellings import SPELLINGS

__all__ = [
    "ATTACKS", "BODIES", "DROPPED", "EARLIER", "ECHOED", "PLACES", "SPELLINGS", "SURROUNDED", "WAYS", "user_request",
]  # fmt: skip

ATTACKS: Final = tuple(Path(__file__).with_name("attacks.txt").read_text(encoding="utf-8").splitlines())


def _body(value: Json) -> bytes:
    return json.dumps(value).encode()


def _spelled(spell: Callable[[str], str]) -> Callable[[str], bytes]:
    return lambda attack: _body(user_request(spell(attack)))


def _positioned(place: Callable[[str], Json]) -> Callable[[str], bytes]:
    return lambda attack: _body(place(attack))


# All ways, each as a function from the attack to the body of a request.
WAYS: Final[Mapping[str, Callable[[str], bytes]]] = {
    **{name: _spelled(spell) for name, spell in SPELLINGS.items()},
    **{name: _positioned(place) for name, place in PLACES.items()},
    **BODIES,
}
# These do not hide the attack, but put it unchanged among other text. Finding it depends on the model alone.
SURROUNDED: Final = frozenset(
    {
        "before a long document",
        "behind a long document",
        "behind a question",
        "in a code block",
        "inside a long document",
    }
)
# The attack is in an assistant message, for which guards have a higher threshold, see pipeline/guard/evaluator.py.
ECHOED: Final = frozenset({"earlier assistant message"})
# The attack is in an earlier turn, or in an earlier message of the last turn: the gateway may drop it and continue.
EARLIER: Final = frozenset(
    {
        "arguments of a tool call",
        "earlier assistant message",
        "earlier user message",
        "id of a tool call",
        "result of a tool",
        "two messages",
    }
)
# The gateway sends the harmless half only.
DROPPED: Final = frozenset(
    {
        "before a forged refusal",
        "content twice, attack first",
        "description of a tool twice",
        "messages twice, attack first",
    }
)
