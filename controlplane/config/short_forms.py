"""Values that may be written short, spelt out: a pure step from tree to tree, in front of the check of sections."""

from __future__ import annotations

from typing import Final

from controlplane.config.document import Entry, Loc, MapNode, Node, Scalar, matches, rewrite

_ITEMS: Final = ("prompt_targets", "*", "parameters", "*", "items")


def spell_out(root: MapNode) -> MapNode:
    """`items: int` as `items: {type: int}`."""

    def change(loc: Loc, node: Node) -> Node:
        if matches(_ITEMS, loc) and isinstance(node, Scalar) and node.value is not None:
            return MapNode((Entry("type", node.mark, node),), node.mark)
        return node

    spelt_out = rewrite(root, change)
    assert isinstance(spelt_out, MapNode)  # noqa: S101  `change` never takes the root out
    return spelt_out
