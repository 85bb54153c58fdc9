"""The JSON Schema of `arch_config.yaml`, for completion and errors in editors. Used by `archgw schema`."""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

from controlplane.config.arch_config import ArchConfig

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, JsonValue]:
    """Returns the schema of the v1 format, draft 2020-12. The 0.1 dialect is left out: new files should not use it."""
    return {"$schema": _DRAFT, "title": "arch_config.yaml", **_tidy(ArchConfig.model_json_schema())}


def _tidy(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Simplifies one schema for editors.

    Null is removed: optional keys may be left out, but `key:` without a value is refused. Defaults of whole sections
    are removed, since their keys have defaults. Titles are removed, since they repeat the keys.
    """
    tidy = {key: _tidy_keyword(key, value) for key, value in schema.items() if key != "title"}
    options = tidy.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        tidy.pop("default", None)
        del tidy["anyOf"]
        tidy = {**rest[0], **tidy} if len(rest) == 1 and isinstance(rest[0], dict) else {"anyOf": rest, **tidy}
    if isinstance(tidy.get("default", {}), dict | None):
        tidy.pop("default", None)
    return tidy


def _tidy_keyword(key: str, value: JsonValue) -> JsonValue:
    if key in {"properties", "$defs"} and isinstance(value, dict):
        # These names are the file's keys, not keywords of JSON Schema.
        return {name: _tidy(schema) if isinstance(schema, dict) else schema for name, schema in value.items()}
    if isinstance(value, list):
        return [_tidy(item) if isinstance(item, dict) else item for item in value]
    return _tidy(value) if isinstance(value, dict) and key not in {"default", "examples"} else value
