"""The headers that may pass Envoy in each direction. Envoy removes all others. Used by the templates.

Envoy can remove headers whose name matches a regular expression, but has no way to keep only those that match. So each
list becomes an expression that matches every other name (`regex_excluding`). A name that ends in `*` is a prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

# HTTP/2 pseudo headers: `:method`, `:path`, `:status`, ...
_PSEUDO: Final = ":*"
_BODY: Final = ("content-encoding", "content-length", "content-type", "transfer-encoding")

# From a client of the ingress listener. Envoy itself reads some of them; `provider_request` has those for a provider.
INGRESS_REQUEST: Final = (
    _PSEUDO,
    *_BODY,
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "expect",
    "host",
    "http2-settings",
    "origin",
    "te",
    "upgrade",
    "x-arch-llm-provider-hint",
)

# To a client of the ingress listener, from a provider or from the gateway itself.
INGRESS_RESPONSE: Final = (
    _PSEUDO,
    *_BODY,
    "allow",
    "cache-control",
    "connection",
    "date",
    # Envoy's own error replies to a gRPC client.
    "grpc-message",
    "grpc-status",
    "openai-processing-ms",
    "retry-after",
    "retry-after-ms",
    "vary",
    "x-accel-buffering",
    "x-arch-*",
    "x-function-error-code",
    "x-prompt-guard-error-code",
    "x-ratelimit-*",
    "x-request-id",
    "x-should-retry",
)

# Headers of OpenAI's API, and those that its SDKs send. Every provider has that API.
_PROVIDER_REQUEST: Final = (
    _PSEUDO,
    *(name for name in _BODY if name != "content-encoding"),
    "accept",
    "accept-encoding",
    "host",
    "idempotency-key",
    "openai-beta",
    "user-agent",
    "x-client-request-id",
    "x-request-id",
    "x-stainless-*",
)
_PROVIDER_RESPONSE: Final = (
    _PSEUDO,
    *_BODY,
    "cache-control",
    "cf-ray",
    "date",
    "openai-*",
    "retry-after",
    "retry-after-ms",
    "vary",
    "x-ratelimit-*",
    "x-request-id",
    "x-should-retry",
)

# Headers that pass only with `passthrough_auth`: the client's own credentials, and headers that belong to them.
_CLIENT_CREDENTIALS: Final = ("authorization", "openai-organization", "openai-project")
_CHALLENGE: Final = ("www-authenticate",)


def provider_request(vendor: Sequence[str], *, passthrough_auth: bool) -> tuple[str, ...]:
    """Return the names that may go to a provider. `vendor`: more names, from its own API."""
    return (*_PROVIDER_REQUEST, *vendor, *(_CLIENT_CREDENTIALS if passthrough_auth else ()))


def provider_response(vendor: Sequence[str], *, passthrough_auth: bool) -> tuple[str, ...]:
    """Return the names that may come back from a provider."""
    return (*_PROVIDER_RESPONSE, *vendor, *(_CHALLENGE if passthrough_auth else ()))


def regex_excluding(names: Iterable[str]) -> str:
    """Return an RE2 expression that matches a whole header name if and only if no entry of `names` does.

    RE2 has no negative look-ahead. So the expression follows a trie of the names, letter by letter, and matches where a
    header name leaves the trie.
    """
    return _trie_complement(sorted(set(names)))


def _trie_complement(suffixes: Sequence[str]) -> str:
    """Return an expression that matches every string that is not one of `suffixes`."""
    branches_by_letter: dict[str, list[str]] = {}
    for suffix in suffixes:
        if suffix:
            branches_by_letter.setdefault(suffix[0], []).append(suffix[1:])
    # After a prefix (`*`) every continuation is allowed, so no branch of the complement continues there.
    branches = [
        f"{re.escape(letter)}{_trie_complement(rest)}"
        for letter, rest in branches_by_letter.items()
        if letter != "*" and "*" not in rest
    ]
    letters = "".join(re.escape(letter) for letter in branches_by_letter)
    branches.append(f"[^{letters}].*" if letters else ".+")
    if "" not in suffixes:
        branches.append("")
    return f"(?:{'|'.join(branches)})"
