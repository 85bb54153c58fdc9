"""The headers that may pass Envoy, each way. Everything else is removed; `files` gives the lists to the templates.

Envoy can remove the headers whose names match a regular expression, and has no way to keep those that match one. So
each list becomes the expression of every other name (`regex_excluding`). A name that ends in `*` stands for a prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

# `:method`, `:path`, `:status` and their like.
_PSEUDO: Final = ":*"
_BODY: Final = ("content-encoding", "content-length", "content-type", "transfer-encoding")

# From an end user's client. Envoy itself reads some of them; `provider_request` says what goes on.
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

# To an end user's client, from a provider or from the gateway itself.
INGRESS_RESPONSE: Final = (
    _PSEUDO,
    *_BODY,
    "allow",
    "cache-control",
    "connection",
    "date",
    # Envoy's own refusals, to a client that says that it speaks gRPC.
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

# What OpenAI's API defines and its SDKs send. Every provider here speaks that API.
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

# Only beside the credentials that they belong to: an organization and a project of the client's, a challenge to it.
_WITH_CLIENTS_CREDENTIALS: Final = ("authorization", "openai-organization", "openai-project")
_CHALLENGE: Final = ("www-authenticate",)


def provider_request(vendor: Sequence[str], *, passthrough_auth: bool) -> tuple[str, ...]:
    """The names that go to a provider. `vendor`: those of its API beyond OpenAI's."""
    return (*_PROVIDER_REQUEST, *vendor, *(_WITH_CLIENTS_CREDENTIALS if passthrough_auth else ()))


def provider_response(vendor: Sequence[str], *, passthrough_auth: bool) -> tuple[str, ...]:
    """The names that come back from a provider."""
    return (*_PROVIDER_RESPONSE, *vendor, *(_CHALLENGE if passthrough_auth else ()))


def regex_excluding(names: Iterable[str]) -> str:
    """A regular expression that matches a whole header name exactly when no entry of `names` does.

    RE2, which has no negative look-ahead: the names are followed letter by letter, and wherever a name goes another way
    than all of them, it matches.
    """
    return _other(sorted(set(names)))


def _other(rests: Sequence[str]) -> str:
    """Matches what none of `rests` is, all of which begin where the expression does."""
    after: dict[str, list[str]] = {}
    for rest in rests:
        if rest:
            after.setdefault(rest[0], []).append(rest[1:])
    # At the `*` of an entry every end is one of its names, so none of them is another.
    branches = [
        f"{re.escape(letter)}{_other(ends)}" for letter, ends in after.items() if letter != "*" and "*" not in ends
    ]
    letters = "".join(re.escape(letter) for letter in after)
    branches.append(f"[^{letters}].*" if letters else ".+")
    if "" not in rests:
        branches.append("")
    return f"(?:{'|'.join(branches)})"
