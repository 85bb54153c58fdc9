"""Loads an OpenAPI document from a file or over HTTP, as plain data. Used by openapi_reader.py."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final, TypeAlias

import aiohttp
import yaml

from controlplane.errors import Problem, SourceError

MAX_BYTES: Final = 16 * 1024 * 1024
FETCH_TIMEOUT_S: Final = 20.0
_MAX_REDIRECTS: Final = 5
# Untrusted JSON data, hence Any: readers check isinstance at each step.
Node: TypeAlias = Any


def is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def load(source: str) -> dict[str, Node]:
    """Returns the document at a path or http(s) URL. Raises `SourceError` unless it is an OpenAPI 3 document."""
    text = _decoded(asyncio.run(_fetch(source)) if is_url(source) else _read(source), source)
    data = _parse(text, source)
    if not isinstance(data, dict):
        raise _error(source, "this is not an OpenAPI document: it is not a mapping of keys")
    _check_version(data, source)
    return data


def _error(source: str, message: str, hint: str | None = None, line: int = 1, column: int = 1) -> SourceError:
    return SourceError((Problem(source, line, column, message, hint),))


def _read(source: str) -> bytes:
    try:
        with Path(source).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        hint = "give a file, or a URL that starts with http:// or https://"
        raise _error(source, f"the document cannot be read: {reason}", hint) from None
    if len(content) > MAX_BYTES:
        raise _error(source, f"the document is too large: at most {MAX_BYTES} bytes")
    return content


async def _fetch(url: str) -> bytes:
    hint = "open the URL in a browser, or download the document and give the file"
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=FETCH_TIMEOUT_S), trust_env=True) as session,
            session.get(
                url, headers={"accept": "application/json, application/yaml, */*"}, max_redirects=_MAX_REDIRECTS
            ) as response,
        ):
            if response.status != 200:
                raise _error(url, f"the server answered with status {response.status}", hint)
            content = bytearray()
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > MAX_BYTES:
                    raise _error(url, f"the document is too large: at most {MAX_BYTES} bytes")
            return bytes(content)
    except TimeoutError:
        raise _error(url, f"the document did not arrive in {FETCH_TIMEOUT_S:g} seconds", hint) from None
    except (aiohttp.ClientError, ValueError, UnicodeError) as error:
        reason = str(error) or type(error).__name__
        raise _error(url, f"the document cannot be fetched: {reason}", hint) from None


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _error(source, "the document is not UTF-8 text") from None


# libyaml if PyYAML was built with it: the Python loader needs minutes for megabytes.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML with JSON's types only: dates stay text, and merge keys, which can be nested into a bomb, are off."""

    yaml_implicit_resolvers = {  # noqa: RUF012  typed by the base class
        first: [
            (tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in {"bool", "int", "float", "null"}
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _parse(text: str, source: str) -> Node:
    """Parses text that begins like JSON as JSON, else as YAML."""
    try:
        if text.lstrip()[:1] in {"{", "["}:
            try:
                return json.loads(text)
            except json.JSONDecodeError as error:
                # YAML has braces too. If it is not YAML either, JSON's error message is the helpful one.
                try:
                    return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader with fewer types
                except yaml.YAMLError:
                    raise _error(source, f"not valid JSON: {error.msg}", None, error.lineno, error.colno) from None
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a SafeLoader with fewer types
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _error(source, f"not valid YAML: {error.problem or 'it cannot be read'}", None, line, column) from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise _error(source, f"neither JSON nor YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise _error(source, "the document is nested too deeply") from None


def _check_version(data: dict[str, Node], source: str) -> None:
    if "swagger" in data:
        hint = "convert it to OpenAPI 3, with https://converter.swagger.io or the exporter of your framework"
        raise _error(source, f"Swagger {data['swagger']} is not supported, OpenAPI 3 is", hint)
    version = str(data.get("openapi", ""))
    if not version.startswith("3."):
        found = f"it says openapi: {version}" if version else "it has no key `openapi`"
        raise _error(source, f"this is not an OpenAPI 3 document: {found}", "give the openapi.json of your API")
    if not isinstance(data.get("paths"), dict) or not data["paths"]:
        raise _error(source, "the document has no `paths`, so there is nothing to generate")
