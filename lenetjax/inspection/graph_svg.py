"""A graph as a picture: rows of boxes from top to bottom, joined by arrows."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from lenetjax.inspection.graph_text import Edges, caption, neighbours
from lenetjax.inspection.nodes import Node

LETTER, LINE = 7.3, 16.0  # a letter's width and a line's height, in pixels
PAD, APART, BELOW, MARGIN = 8.0, 24.0, 44.0, 12.0
SWEEPS = 6  # up and down, to bring boxes near to those that they are joined to
LAYER, OTHER, OUTSIDE = "#cfe4f7", "#f1f1f1", "#ffffff"


class Box:
    """What takes up room in a row: a node, or an arrow on its way through."""

    def __init__(self, lines: Sequence[str], row: int) -> None:
        self.lines, self.row = lines, row
        self.width = 2 * PAD + LETTER * max(map(len, lines)) if lines else 2 * PAD
        self.height = 2 * PAD + LINE * len(lines)
        self.x = self.y = 0.0  # the middle of its upper edge
        self.above: list[Box] = []
        self.below: list[Box] = []


def picture(nodes: Sequence[Node], edges: Edges) -> str:
    """An SVG, complete in itself."""
    boxes = [*map(Box, map(caption, nodes), _rows(nodes, edges))]
    arrows = [(_path(boxes[a], boxes[b]), shape) for a, b, shape in edges]
    rows = _placed([*boxes, *(box for path, _ in arrows for box in path[1:-1])])
    rights = [box.x + box.width / 2 for row in rows for box in row]
    rights += [path[0].x + LETTER * len(shape) for path, shape in arrows]
    width = max(rights) + MARGIN
    height = max(box.y + box.height for box in boxes) + MARGIN
    body = [_arrow(path, shape) for path, shape in arrows]
    body += map(_box, boxes, nodes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="monospace" font-size="12">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker>'
        '</defs><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(body)}</svg>"
    )


def _rows(nodes: Sequence[Node], edges: Edges) -> list[int]:
    """The row of each node: below all that come before it."""
    before, after = neighbours(len(nodes), edges)
    rows = [0] * len(nodes)
    for i in range(len(nodes)):
        rows[i] = max((rows[j] + 1 for j in before[i]), default=0)
    for i in range(len(nodes)):
        if not before[i] and after[i]:  # inputs stand just above where they are used
            rows[i] = min(rows[j] for j in after[i]) - 1
    return rows


def _path(source: Box, target: Box) -> list[Box]:
    """The boxes that an arrow goes through, with room in the rows between."""
    between = (Box((), row) for row in range(source.row + 1, target.row))
    path = [source, *between, target]
    for one, other in pairwise(path):
        one.below.append(other)
        other.above.append(one)
    return path


def _placed(boxes: Sequence[Box]) -> list[list[Box]]:
    """Puts each box into its place; returns the rows."""
    rows: list[list[Box]] = [[] for _ in range(1 + max(box.row for box in boxes))]
    for box in boxes:
        rows[box.row].append(box)
    for row in rows:
        _spread(row, [0.0] * len(row))
    for _ in range(SWEEPS):
        for row in rows[::-1]:
            _drawn(row, [box.below for box in row])
        for row in rows:  # the last, so that a chain hangs straight
            _drawn(row, [box.above for box in row])
    left = min(box.x - box.width / 2 for row in rows for box in row)
    top = MARGIN
    for row in rows:
        for box in row:
            box.x += MARGIN - left
            box.y = top
        top += max((box.height for box in row), default=0) + BELOW
    for row in rows:  # an arrow on its way is as tall as its row
        tall = max(box.height for box in row)
        for box in row:
            box.height = box.height if box.lines else tall
    return rows


def _drawn(row: list[Box], joined: Sequence[Sequence[Box]]) -> None:
    """Brings the boxes of a row near to those that they are joined to."""
    wished = [
        sum(other.x for other in others) / len(others) if others else box.x
        for box, others in zip(row, joined, strict=True)
    ]
    order = sorted(range(len(row)), key=wished.__getitem__)
    row[:] = [row[i] for i in order]
    _spread(row, [wished[i] for i in order])


def _spread(row: Sequence[Box], wished: Sequence[float]) -> None:
    """Places boxes side by side, none upon another, about where each wants to be."""
    edge, starts = float("-inf"), []
    for box, wish in zip(row, wished, strict=True):
        x = max(wish, edge + box.width / 2)
        starts.append(x)
        edge = x + box.width / 2 + APART
    pushed = sum(x - wish for x, wish in zip(starts, wished, strict=True))
    for box, x in zip(row, starts, strict=True):
        box.x = x - pushed / len(row)


def _arrow(path: Sequence[Box], shape: str) -> str:
    start, first = path[0], path[1]
    x, y = start.x, start.y + start.height
    d = [f"M{x:.1f} {y:.1f}"]
    for here, after in pairwise(path):
        top, bottom = here.y + here.height, after.y
        half = (top + bottom) / 2
        d.append(
            f"L{here.x:.1f} {top:.1f}C{here.x:.1f} {half:.1f} "
            f"{after.x:.1f} {half:.1f} {after.x:.1f} {bottom:.1f}"
        )
    part = 0.7 if len(start.below) > 1 else 0.3  # where arrows are apart
    at, half = x + part * (first.x - x), y + part * (first.y - y)
    return (
        f'<path d="{"".join(d)}" fill="none" stroke="#555" marker-end="url(#tip)"/>'
        f'<text x="{at + 5:.1f}" y="{half + 4:.1f}" font-size="11" fill="#444" '
        f'stroke="white" stroke-width="3" paint-order="stroke">{escape(shape)}</text>'
    )


def _box(box: Box, node: Node) -> str:
    fill = LAYER if node.is_layer else OTHER if node.operations else OUTSIDE
    round_off = 4 if node.operations else box.height / 2
    details = [
        f"{what}: {', '.join(items)}"
        for what, items in (
            ("params", node.params),
            ("saved", node.saved),
            ("operations", node.operations),
        )
        if items
    ]
    texts = "".join(
        f'<text x="{box.x:.1f}" y="{box.y + PAD + LINE * (i + 0.75):.1f}" '
        f'text-anchor="middle"{_weight(i, box)}>{escape(line)}</text>'
        for i, line in enumerate(box.lines)
    )
    return (
        f"<g><title>{escape(chr(10).join(details))}</title>"
        f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y:.1f}" '
        f'width="{box.width:.1f}" height="{box.height:.1f}" rx="{round_off}" '
        f'fill="{fill}" stroke="#777"/>{texts}</g>'
    )


def _weight(i: int, box: Box) -> str:
    return ' font-weight="bold"' if i == 0 and len(box.lines) > 1 else ""
