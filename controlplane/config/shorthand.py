"""Expands shorthand values into their full form. A pure step from tree to tree, before the sections are checked."""

from __future__ import annotations

from typing import Final

from controlplane.config.yaml_tree import Entry, ListNode, Loc, MapNode, Node, Scalar, matches, rewrite

_ITEMS: Final = ("prompt_targets", "*", "parameters", "*", "items")
# Keys whose value may be one item instead of a list.
_LISTS: Final = (("model_serving", "remote", "url"), ("model_serving", "roles", "*", "placement"))


def expand(root: MapNode) -> MapNode:
    """Expands `items: int` to `items: {type: int}`, and `placement: remote` to `placement: [remote]`."""

    def change(loc: Loc, node: Node) -> Node:
        if not isinstance(node, Scalar) or node.value is None:
            return node
        if matches(_ITEMS, loc):
            return MapNode((Entry("type", node.mark, node),), node.mark)
        if any(matches(pattern, loc) for pattern in _LISTS):
            return ListNode((node,), node.mark)
        return node

    return rewrite(root, change)
