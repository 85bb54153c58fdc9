"""RenderedFiles Envoy files against the messages of `envoy_data_plane`: unknown fields, wrong types, unknown enum values.

It names the file and the message, which Envoy's own check does not, and it runs where there is no Envoy binary. Envoy
itself has the last word (`envoy.py`).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

import betterproto2
import yaml

from controlplane.errors import RenderError
from controlplane.render.gateway_files import RenderedFile

_PREFIX: Final = "type.googleapis.com/"

# Messages that the package does not have, or has without fields that Envoy 1.40 accepts.
UNKNOWN: Final[Mapping[str, str]] = {}


def validate_types(files: Mapping[str, RenderedFile]) -> None:
    """Raise `RenderError` unless each message in each Envoy file is one that its type allows."""
    for name, file in files.items():
        if not name.startswith(("envoy/", "secrets/")):
            continue
        try:
            tree = yaml.safe_load(file.text)
        except yaml.YAMLError as error:
            raise RenderError(f"{name} is not YAML: {type(error).__name__}") from error
        for type_name, message in _messages(name, tree):
            if type_name in UNKNOWN:
                continue
            try:
                _message_class(type_name).from_dict(message)
            except (KeyError, ValueError, TypeError, AttributeError) as error:
                reason = (
                    str(error).splitlines()[0] if not name.startswith("secrets/") else "(not shown: it holds a secret)"
                )
                raise RenderError(f"{name}: {type_name}: {reason}") from error


def _messages(name: str, tree: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every message in `tree` with its type, innermost first, each without the messages packed in it."""
    if name.endswith("bootstrap.yaml"):
        tree = {"@type": f"{_PREFIX}envoy.config.bootstrap.v3.Bootstrap", **tree}
    found: list[tuple[str, dict[str, Any]]] = []
    _unpack(tree, found)
    return iter(found)


def _unpack(node: Any, found: list[tuple[str, dict[str, Any]]]) -> Any:
    """`node` without packed messages, which go to `found`."""
    if isinstance(node, list):
        return [plain for item in node if (plain := _unpack(item, found)) is not None]
    if not isinstance(node, dict):
        return node
    plain = {key: value for key, child in node.items() if (value := _unpack(child, found)) is not None or child is None}
    type_url = plain.pop("@type", None)
    if type_url is None:
        return plain
    found.append((type_url.removeprefix(_PREFIX), plain))
    return None


def _message_class(type_name: str) -> type[betterproto2.Message]:
    package, _, name = type_name.rpartition(".")
    with warnings.catch_warnings():
        # The package's generated classes use a spelling that pydantic has since deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        module = importlib.import_module(f"envoy_data_plane.{package}")
    message_class: type[betterproto2.Message] = getattr(module, name)
    return message_class
