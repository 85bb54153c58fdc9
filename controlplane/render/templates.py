"""The Jinja2 environment of envoy/templates/ and docker/. Every value must pass a filter that quotes it.

Called by `gateway_files` and `compose_file`. A template fails if it prints an unquoted value (`_quoted_only`) or
names an unknown one (`StrictUndefined`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined
from markupsafe import Markup

from controlplane.assets import asset
from controlplane.compile.plans import Address, Pipe
from controlplane.config.addresses import is_ip, is_localhost
from controlplane.render.header_allowlists import regex_excluding

Scalar = str | int | float | bool | None | Path | Undefined


def to_json(value: Scalar) -> Markup:
    """Return `value` as a JSON scalar that YAML parsers read as the same value.

    In YAML, unlike JSON, a surrogate pair is two characters, and some characters must be escaped. So everything but
    printable ASCII is written as YAML escapes.
    """
    if isinstance(value, Undefined):
        # Raises an error that names the value; json.dumps would name only the type.
        str(value)
    text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    return Markup("".join(char if char.isascii() and char.isprintable() else _escape(char) for char in text))  # noqa: S704


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def to_compose(value: Scalar) -> Markup:
    """Return `value` as a JSON scalar for a compose file, in which `$` starts a variable and `$$` is a dollar."""
    return Markup(to_json(value).replace("$", "$$"))  # noqa: S704


def to_mapping(values: Mapping[str, str]) -> Markup:
    """Return a mapping on one line of a compose file."""
    return Markup(f"{{{', '.join(f'{to_compose(name)}: {to_compose(text)}' for name, text in values.items())}}}")  # noqa: S704


def to_list(values: Iterable[str]) -> Markup:
    """Return a list on one line of a compose file."""
    return Markup(f"[{', '.join(map(to_compose, values))}]")  # noqa: S704


def to_bare(value: str | Path) -> Markup:
    """Return `value` unquoted, for keys and comments. ValueError unless it has only letters, digits and `_./-`."""
    text = str(value)
    if not re.fullmatch(r"[A-Za-z0-9_./-]+", text):
        raise ValueError(f"{text!r} cannot be written without quotes")
    return Markup(text)  # noqa: S704


def to_duration(milliseconds: int) -> Markup:
    """Return milliseconds in protobuf's JSON form of a duration: `"1.500s"`."""
    return to_json(f"{milliseconds // 1000}.{milliseconds % 1000:03d}s")


def to_literal(text: str) -> str:
    """Escape `text` for a field in which Envoy reads `%...%` as a command operator."""
    return text.replace("%", "%%")


def all_known(addresses: Iterable[Address | Pipe]) -> bool:
    """Return True if Envoy can reach all `addresses` without DNS."""
    return all(isinstance(each, Pipe) or is_ip(each.host) or is_localhost(each.host) for each in addresses)


def secret_file(secret_name: str) -> str:
    """Return the file name of a secret. Special characters are percent-encoded."""
    return quote(secret_name, safe="") + ".yaml"


def _quoted_only(value: object) -> object:
    if not isinstance(value, Markup):
        raise TypeError(f"a template prints {value!r} without a filter that quotes it")
    return value


@cache
def _environment() -> Environment:
    # With autoescape, macros and quoting filters return Markup: `_quoted_only` recognizes quoted text by this type.
    # Autoescape itself escapes nothing here.
    environment = Environment(
        loader=FileSystemLoader([asset("envoy/templates"), asset("docker")]),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=_quoted_only,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "json": to_json,
        "compose": to_compose,
        "mapping": to_mapping,
        "listed": to_list,
        "bare": to_bare,
        "duration": to_duration,
        "literal": to_literal,
        "is_ip": is_ip,
        "is_localhost": is_localhost,
        "all_known": all_known,
        "secret_file": secret_file,
        "regex_excluding": regex_excluding,
    }
    return environment


def render_template(template: str, values: Mapping[str, object], *, spaced: bool = False) -> str:
    """Return the rendered template without empty lines. `spaced`: several empty lines become one instead."""
    text = _environment().get_template(template).render(values)
    lines = [line.rstrip() for line in text.splitlines()]
    kept = (line for line, previous in zip(lines, ["", *lines], strict=False) if line or (spaced and previous))
    return "".join(f"{line}\n" for line in kept)
