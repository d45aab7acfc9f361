"""The SQL of a tree out of that of its leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zhike.conditions.checked import AllOf, Checked, Leaf, Negation, OneOf
from zhike.conditions.compiler.context import Fragment


def tree_sql(node: Checked, leaf: Callable[[Leaf, bool], Fragment], *, negated: bool = False) -> Fragment:
    """Return the SQL of a tree; negation is handed down to its leaves, since SQL's null is not two-valued.

    Args:
        node: The tree.
        leaf: Returns the SQL of a leaf, or of its negation.
        negated: Whether the node stands under an odd number of `not`.
    """
    match node:
        case Negation():
            return tree_sql(node.part, leaf, negated=not negated)
        case AllOf() | OneOf():
            parts = [tree_sql(part, leaf, negated=negated) for part in node.parts]
            return _combined(parts, conjunction=isinstance(node, AllOf) is not negated)
        case _:
            return leaf(node, negated)


def _combined(parts: Sequence[Fragment], *, conjunction: bool) -> Fragment:
    if not parts:
        return Fragment("true" if conjunction else "false")
    word = " AND " if conjunction else " OR "
    return Fragment(
        predicate=f"({word.join(part.predicate for part in parts)})",
        joins=tuple(join for part in parts for join in part.joins),
    )
