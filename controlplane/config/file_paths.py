"""Paths of files and folders in the configuration. They are relative to the configuration file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema

from controlplane.config.base_model import refusal
from controlplane.config.yaml_tree import Loc, MapNode, Node, Scalar, matches, rewrite

_LONGEST: Final = 4096
_FILES: Final = tuple(("model_serving", "remote", "tls", key) for key in ("ca", "cert", "key"))


def parse_path(value: object) -> str:
    """Parses a path. It has no control characters: messages quote it, and a terminal would obey them."""
    if not isinstance(value, str):
        raise refusal("expected a path, relative to this file", "put it in quotes if it is meant as text")
    if not 1 <= len(value) <= _LONGEST or not value.isprintable():
        raise refusal("the path is empty, too long, or holds control characters")
    return value


FilePath = Annotated[str, PlainValidator(parse_path), WithJsonSchema({"type": "string", "minLength": 1})]


def make_absolute(root: MapNode, folder: Path) -> MapNode:
    """Returns the tree with absolute paths of files. Relative paths start at `folder`."""

    def change(loc: Loc, node: Node) -> Node:
        is_file = any(matches(pattern, loc) for pattern in _FILES)
        if not is_file or not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
            return node
        return replace(node, value=str(folder.absolute() / node.value))

    return rewrite(root, change)
