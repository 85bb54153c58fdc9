"""The texts about operations that a prompt target cannot express fully. Shared by the readers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from controlplane.generate.operations import CONVERSATION, METHODS

FORM: Final = "it reads a form, but the gateway sends JSON: have it read a JSON body too"
UPLOAD: Final = "it takes an uploaded file"
BODY_OF_GET: Final = "it reads a body, which a call with GET does not have"


def unsupported_method(method: str) -> str:
    """The note on an operation whose method a prompt target cannot call."""
    return f"skipped: a prompt target calls with {' or '.join(METHODS)}, not {method}"


def forbids_extra_keys(subject: str) -> str:
    return f"{subject} forbids keys that it does not declare, and the gateway also sends `{CONVERSATION}`"


def free_form_object(body: str) -> str:
    return f"{body} is any object: say in parameters what it may hold"


def body_is_no_object(kind: str) -> str:
    return f"its body is a bare {kind}, and the gateway sends an object"


def credentials(names: Iterable[str]) -> str:
    return f"it needs credentials ({', '.join(names)}): add their header to endpoint.http_headers"


def required_header_or_cookie(location: str, name: str) -> str:
    """The remark on a required header or cookie. The gateway sends configured headers, and no cookies."""
    way_out = f"add it to endpoint.http_headers: {{{name}: ...}}" if location == "header" else "a call carries none"
    return f"it needs the {location} {name}: {way_out}"
