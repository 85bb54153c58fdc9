"""What several readers have to say of an operation, in the same words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from controlplane.generate.operations import CONVERSATION, METHODS

FORM: Final = "it reads a form, but the gateway sends JSON: have it read a JSON body too"
UPLOAD: Final = "it takes an uploaded file"
BODY_OF_GET: Final = "it reads a body, which a call with GET does not have"


def unsupported(method: str) -> str:
    """Why an operation of this method is left out."""
    return f"skipped: a prompt target calls with {' or '.join(METHODS)}, not {method}"


def forbids(subject: str) -> str:
    return f"{subject} forbids keys that it does not declare, and the gateway also sends `{CONVERSATION}`"


def any_object(body: str) -> str:
    return f"{body} is any object: say in parameters what it may hold"


def bare_body(kind: str) -> str:
    return f"its body is a bare {kind}, and the gateway sends an object"


def credentials(names: Iterable[str]) -> str:
    return f"it needs credentials ({', '.join(names)}): add their header to endpoint.http_headers"


def demands(place: str, name: str) -> str:
    """A header or a cookie that is required; the gateway sends headers that the configuration names, and no cookies."""
    way_out = f"add it to endpoint.http_headers: {{{name}: ...}}" if place == "header" else "a call carries none"
    return f"it needs the {place} {name}: {way_out}"
