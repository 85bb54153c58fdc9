"""The Jinja2 environment of envoy/templates/: nothing reaches a file except through a filter that quotes it.

Called by `files`. A template that prints a bare value fails (`_quoted_only`), and so does one that names a value that
is not there (`StrictUndefined`).
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined
from markupsafe import Markup

from controlplane.assets import asset
from controlplane.compile.plans import Address

Scalar = str | int | float | bool | None | Path | Undefined


def to_json(value: Scalar) -> Markup:
    """`value` as a JSON scalar that YAML parsers read as the same value.

    JSON is not quite YAML: a surrogate pair means two characters there, and some characters may not stand unescaped.
    Both are written as YAML's own escapes.
    """
    if isinstance(value, Undefined):
        # Raises, and names the value; json would only say that it has no such type.
        str(value)
    text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    return Markup("".join(char if char.isascii() and char.isprintable() else _escape(char) for char in text))  # noqa: S704


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def to_duration(milliseconds: int) -> Markup:
    """Milliseconds as protobuf's JSON form of a duration: `"1.500s"`."""
    return to_json(f"{milliseconds // 1000}.{milliseconds % 1000:03d}s")


def to_literal(text: str) -> str:
    """`text` for a field in which Envoy would otherwise read `%...%` as a command."""
    return text.replace("%", "%%")


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def all_ip(addresses: Iterable[Address]) -> bool:
    return all(is_ip(address.host) for address in addresses)


def secret_file(secret_name: str) -> str:
    """The file name of a secret, safe whatever the secret is called."""
    return quote(secret_name, safe="") + ".yaml"


def _quoted_only(value: object) -> object:
    if not isinstance(value, Markup):
        raise TypeError(f"a template prints {value!r} without a filter that quotes it")
    return value


@cache
def _environment() -> Environment:
    # autoescape makes macros and quoting filters return Markup, which is how _quoted_only tells text from values. It
    # never gets to escape anything.
    environment = Environment(
        loader=FileSystemLoader(asset("envoy/templates")),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_quoted_only,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "json": to_json,
        "duration": to_duration,
        "literal": to_literal,
        "is_ip": is_ip,
        "all_ip": all_ip,
        "secret_file": secret_file,
    }
    return environment


def fill(template: str, values: Mapping[str, object]) -> str:
    """The template's text, without the empty lines that macros leave."""
    text = _environment().get_template(template).render(values)
    return "".join(f"{line}\n" for line in text.splitlines() if line.strip())
