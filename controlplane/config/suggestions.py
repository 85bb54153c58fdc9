"""Suggests the known word that a misspelt one stands for. Used by the messages of the configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

# Names of our keys in other versions of the format. A comparison of letters would not find these.
_OTHER_NAMES: Final = {
    "model_providers": "llm_providers",
    "providers": "llm_providers",
    "ingress_traffic": "ingress",
    "egress_traffic": "egress",
    "provider_interface": "provider",
    "api_key": "access_key",
    "key": "access_key",
    "url": "base_url",
    "method": "http_method",
    "sampling_rate": "random_sampling",
    "listen": "listeners",
    "guards": "prompt_guards",
    "targets": "prompt_targets",
}


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """Returns the known word that `word` probably stands for, or None."""
    choices = {choice.lower(): choice for choice in known}
    other = _OTHER_NAMES.get(word.lower())
    if other in choices.values():
        return other
    close = difflib.get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    return choices[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], form: str = "{}") -> str | None:
    """Returns a hint with the known word nearest to `word`, formatted as `form`, or None."""
    nearest = suggestion(word, known)
    return f"did you mean {form.format(nearest)}?" if nearest else None
