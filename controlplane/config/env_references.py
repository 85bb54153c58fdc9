"""Replaces `$NAME` and `${NAME}` with values of the environment. Used by `load`.

Only fields that hold secrets or URLs are changed. In those fields `$$` is a literal `$`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from controlplane.config.yaml_parser import is_unicode
from controlplane.config.yaml_tree import Finding, Loc, MapNode, Node, Scalar, matches, rewrite, walk

_ACCESS_KEY: Final = ("llm_providers", "*", "access_key")
_REMOTE_KEY: Final = ("model_serving", "remote", "access_key")
_HEADER: Final = ("prompt_targets", "*", "endpoint", "http_headers", "*")
# The host of a URL whose variable is missing. Checks of URLs skip it.
PLACEHOLDER_HOST: Final = "missing.invalid"
# Names of headers whose value is a key.
_KEYS: Final = frozenset({"authorization", "proxy-authorization", "api-key", "x-api-key", "x-goog-api-key", "cookie"})
# Fields with references. If a variable is missing, the field gets its placeholder, which passes the field's own checks.
# So one missing variable does not hide other problems.
_FIELDS: Final[tuple[tuple[tuple[str, ...], str], ...]] = (
    (_ACCESS_KEY, "missing"),
    (("llm_providers", "*", "base_url"), "https://missing.invalid/v1"),
    (_HEADER, "missing"),
    (("endpoints", "*", "endpoint"), "missing.invalid"),
    (("endpoints", "*", "endpoint", "*"), "missing.invalid"),
    (_REMOTE_KEY, "missing"),
    (("model_serving", "remote", "url", "*"), f"grpcs://{PLACEHOLDER_HOST}"),
    (("tracing", "collector"), "http://missing.invalid:4317"),
)
_REFERENCE: Final = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([^}]*)\})")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Environment:
    """Looks up names in the process environment, then in `.env`. `dotenv_path` is only for messages."""

    process: Mapping[str, str]
    dotenv: Mapping[str, str | None]
    dotenv_path: str

    def get(self, name: str) -> str | None:
        return self.process[name] if name in self.process else self.dotenv.get(name)


def plain_text_keys(root: MapNode) -> tuple[Finding, ...]:
    """Returns a warning for each key that the file holds in plain text."""
    return tuple(
        Finding(node.mark, "a key in plain text", "write $NAME here, and set NAME in the environment or in .env")
        for loc, node in walk(root)
        if _is_key(loc) and isinstance(node, Scalar) and isinstance(node.value, str)
        if not any(match[1] is None for match in _REFERENCE.finditer(node.value))
    )


def _is_key(loc: Loc) -> bool:
    is_access_key = matches(_ACCESS_KEY, loc) or matches(_REMOTE_KEY, loc)
    return is_access_key or (matches(_HEADER, loc) and str(loc[-1]).lower() in _KEYS)


def resolve(root: MapNode, environment: Environment) -> tuple[MapNode, tuple[Finding, ...]]:
    """Returns the tree with all references replaced, and a finding for each that has no usable value."""
    findings: list[Finding] = []

    def change(loc: Loc, node: Node) -> Node:
        placeholder = _placeholder(loc)
        if placeholder is None or not isinstance(node, Scalar) or not isinstance(node.value, str):
            return node
        faults: list[Finding] = []

        def replacement(match: re.Match[str]) -> str:
            if match[1]:
                return "$"
            name = match[2] if match[2] is not None else match[3]
            value = environment.get(name) if _NAME.fullmatch(name) else None
            if not _NAME.fullmatch(name):
                faults.append(Finding(node.mark, "`${...}` holds no name of a variable", "write $NAME or ${NAME}"))
            elif value is None:
                faults.append(
                    Finding(node.mark, f"environment variable {name} is not set", _way_out(name, environment))
                )
            elif not value:
                faults.append(Finding(node.mark, f"environment variable {name} is empty", _way_out(name, environment)))
            elif not is_unicode(value):
                faults.append(Finding(node.mark, f"environment variable {name} is not text", "set it to UTF-8 text"))
            return value or ""

        text = _REFERENCE.sub(replacement, node.value)
        findings.extend(dict.fromkeys(faults))
        return replace(node, value=placeholder if faults else text)

    resolved = rewrite(root, change)
    return resolved, tuple(findings)


def _placeholder(loc: Loc) -> str | None:
    return next((placeholder for pattern, placeholder in _FIELDS if matches(pattern, loc)), None)


def _way_out(name: str, environment: Environment) -> str:
    return (
        f"set it in the environment of archgw, or as {name}=... in {environment.dotenv_path}; for a literal $ write $$"
    )
