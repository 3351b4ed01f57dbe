"""A graph in words: as chains, for Graphviz, and for Mermaid."""

from collections import Counter
from collections.abc import Iterable, Sequence

from lenetjax.inspection.nodes import Node

WIDTH = 80
Edges = Sequence[tuple[int, int, str]]


def chains(nodes: Sequence[Node], edges: Edges) -> str:
    """A line from each input and from each fork to where it meets another line.

    Where several lines begin or end, the path says which node it is.
    """
    before, after = neighbours(len(nodes), edges)
    names = [
        _told_apart(node)
        if len(after[i]) > 1 or (len(before[i]) > 1 and after[i])
        else node.kind
        for i, node in enumerate(nodes)
    ]
    lines: list[str] = []
    reached: set[int] = set()
    for start in range(len(nodes)):
        if before[start] and len(after[start]) < 2:
            continue
        for here in after[start]:
            line = [start, here]
            while here not in reached and len(after[here]) == 1:
                reached.add(here)
                here = after[here][0]
                line.append(here)
            reached.add(here)
            lines.append(_wrapped([names[i] for i in line]))
    times = Counter(lines)
    return "\n".join(
        line if count == 1 else f"{line}  ({count} times)"
        for line, count in times.items()
    )


def neighbours(count: int, edges: Edges) -> tuple[list[list[int]], list[list[int]]]:
    """The nodes before and after each, in order and each once."""
    before: list[set[int]] = [set() for _ in range(count)]
    after: list[set[int]] = [set() for _ in range(count)]
    for source, target, _ in edges:
        after[source].add(target)
        before[target].add(source)
    return [sorted(b) for b in before], [sorted(a) for a in after]


def dot(nodes: Sequence[Node], edges: Edges) -> str:
    """In Graphviz's language."""
    lines = ["digraph {", '  node [shape=box, fontname="monospace"]']
    boxes = (_quoted(caption(node)) for node in nodes)
    lines += [f"  n{i} [label={box}]" for i, box in enumerate(boxes)]
    lines += [f"  n{a} -> n{b} [label={_quoted([shape])}]" for a, b, shape in edges]
    return "\n".join([*lines, "}"])


def mermaid(nodes: Sequence[Node], edges: Edges) -> str:
    """In Mermaid's language."""
    lines = ["flowchart TD"]
    lines += [f"  n{i}[{_escaped(caption(node))}]" for i, node in enumerate(nodes)]
    lines += [f"  n{a} -->|{_escaped([shape])}| n{b}" for a, b, shape in edges]
    return "\n".join(lines)


def caption(node: Node) -> list[str]:
    """The lines that stand in a node's box."""
    label = node.label if node.repeats == 1 else f"{node.repeats} x {node.label}"
    above = [node.path] if node.path and node.path != node.label else []
    return [*above, label]


def _told_apart(node: Node) -> str:
    alone = node.path in ("", node.kind)
    return node.kind if alone else f"{node.kind} [{node.path}]"


def _wrapped(names: Sequence[str]) -> str:
    """The names with arrows between, in lines like those of PyTorch's tutorial."""
    lines = [names[0]]
    for name in names[1:]:
        longer = f"{lines[-1]} -> {name}"
        if len(longer) > WIDTH:
            lines.append(f"      -> {name}")
        else:
            lines[-1] = longer
    return "\n".join(lines)


def _quoted(lines: Iterable[str]) -> str:
    text = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return f'"{text}"'


def _escaped(lines: Iterable[str]) -> str:
    text = "<br>".join(
        line.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;")
        for line in lines
    )
    return f'"{text}"'
