"""The configuration as a tree of values that know where they were given; merging and looking up. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cdc_cli.settings.findings import DEFAULT, Origin

Scalar = str | int | float | bool | None
Step = str | int


@dataclass(frozen=True, slots=True)
class Node:
    """A value, its place, and the place of its key.

    `is_text`: the value is a string from the environment, an option or a `${VAR}`, to be typed as its key
    demands. `is_open`: what it will be is not known (already reported, or a variable that is not set here):
    nothing is concluded from it.
    """

    value: Scalar | list[Node] | dict[str, Node]
    origin: Origin
    key: Origin = DEFAULT
    is_text: bool = False
    is_open: bool = False


def merge(base: Node, over: Node) -> Node:
    """Sections are merged key by key; anything else of `over` replaces what `base` has."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    merged = dict(base.value)
    for name, node in over.value.items():
        merged[name] = merge(merged[name], node) if name in merged else node
    return replace(base, value=merged)


def nested(path: str, leaf: Node) -> Node:
    """A tree with just this leaf."""
    node = leaf
    for name in reversed(path.split(".")):
        node = Node({name: node}, leaf.origin, leaf.key)
    return node


def find(root: Node, path: Sequence[Step]) -> Node | None:
    """The node at the path, None when nothing stands there."""
    node = root
    for step in path:
        children: Mapping[Step, Node] = dict(_children(node))
        if step not in children:
            return None
        node = children[step]
    return node


def nearest(root: Node, path: Sequence[Step]) -> Node:
    """The node at the path, or its nearest ancestor that was given."""
    for length in range(len(path), -1, -1):
        node = find(root, path[:length])
        if node is not None:
            return node
    return root


def without(root: Node, path: Sequence[Step]) -> Node:
    """The tree without what stands at the path (a whole list when the path leads into one)."""
    if not path or not isinstance(root.value, dict) or path[0] not in root.value:
        return root
    name = str(path[0])
    rest = {key: node for key, node in root.value.items() if key != name}
    child = root.value[name]
    if len(path) > 1 and isinstance(child.value, dict):
        rest[name] = without(child, path[1:])
    return replace(root, value=rest)


def walk(node: Node, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Node]]:
    """Every node below and its path, parents first."""
    yield path, node
    for step, child in _children(node):
        yield from walk(child, (*path, step))


def dotted(path: Sequence[Step]) -> str:
    """`kafka.bootstrap_servers[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _children(node: Node) -> Iterator[tuple[Step, Node]]:
    if isinstance(node.value, dict):
        yield from node.value.items()
    elif isinstance(node.value, list):
        yield from enumerate(node.value)
