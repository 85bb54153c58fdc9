"""Values that may be written short, spelt out: a pure step from tree to tree, in front of the check of sections."""

from __future__ import annotations

from typing import Final

from controlplane.config.yaml_tree import Entry, ListNode, Loc, MapNode, Node, Scalar, matches, rewrite

_ITEMS: Final = ("prompt_targets", "*", "parameters", "*", "items")
# Lists of which there is mostly one.
_LISTS: Final = (("model_serving", "remote", "url"), ("model_serving", "roles", "*", "placement"))


def spell_out(root: MapNode) -> MapNode:
    """`items: int` as `items: {type: int}`, `placement: remote` as `placement: [remote]`."""

    def change(loc: Loc, node: Node) -> Node:
        if not isinstance(node, Scalar) or node.value is None:
            return node
        if matches(_ITEMS, loc):
            return MapNode((Entry("type", node.mark, node),), node.mark)
        if any(matches(pattern, loc) for pattern in _LISTS):
            return ListNode((node,), node.mark)
        return node

    spelt_out = rewrite(root, change)
    assert isinstance(spelt_out, MapNode)  # noqa: S101  `change` never takes the root out
    return spelt_out
