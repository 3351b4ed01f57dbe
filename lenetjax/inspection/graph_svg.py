"""A graph as a picture: rows of boxes from top to bottom, joined by arrows."""

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from lenetjax.inspection.graph_text import Edges, caption, neighbours
from lenetjax.inspection.nodes import Node

LETTER, LINE = 7.3, 16.0  # a letter's width and a line's height, in pixels
SMALL, SMALL_LINE = 6.7, 13.0  # those of the shapes on arrows
PAD, APART, BELOW, MARGIN = 8.0, 24.0, 44.0, 12.0
SWEEPS = 6  # up and down, to bring boxes near to those that they are joined to
MOST_SHAPES = 3  # on one arrow
LAYER, OTHER, OUTSIDE = "#cfe4f7", "#f1f1f1", "#ffffff"


class Box:
    """What takes up room in a row: a node, or an arrow on its way through.

    An arrow that goes through rows has its shapes in the first of them.
    """

    def __init__(
        self, lines: Sequence[str], row: int, shapes: Sequence[str] = ()
    ) -> None:
        self.lines, self.row = lines, row
        self.width = 2 * PAD + max(_width(lines, LETTER), _width(shapes, SMALL))
        self.height = 2 * PAD + LINE * len(lines)
        self.room = self.width  # with the shapes above and below it
        self.x = self.y = 0.0  # the middle of its upper edge
        self.above: list[Box] = []
        self.below: list[Box] = []


class Arrow:
    """The boxes that it goes through, and the shapes on it."""

    def __init__(self, source: Box, target: Box, shapes: Sequence[str]) -> None:
        more = len(shapes) - MOST_SHAPES + 1
        self.shapes = (
            [*shapes[: MOST_SHAPES - 1], f"+ {more} more"]
            if len(shapes) > MOST_SHAPES
            else shapes
        )
        rows = range(source.row + 1, target.row)
        between = [Box((), row, () if i else self.shapes) for i, row in enumerate(rows)]
        self.path = [source, *between, target]
        for one, other in pairwise(self.path):
            one.below.append(other)
            other.above.append(one)

    def make_room(self) -> None:
        """Keeps neighbours so far off that the shapes fit beside a short arrow."""
        source, target = self.path[0], self.path[-1]
        if len(self.path) == 2:
            crowded = target if len(source.below) > 1 else source
            if max(len(source.below), len(target.above)) > 1:
                wide = 2 * (_width(self.shapes, SMALL) + PAD)
                crowded.room = max(crowded.room, wide)

    def words(self) -> tuple[float, float, str]:
        """Where its shapes stand: x and y of their middle line, and their anchor."""
        source, first = self.path[0], self.path[1]
        if len(self.path) > 2:
            return first.x, first.y + first.height / 2, "middle"
        forks, joins = len(source.below) > 1, len(first.above) > 1
        along, down = (
            (0.65, 0.6) if forks and joins
            else (1.0, 0.7) if forks  # near the ends that lie apart
            else (0.0, 0.3) if joins
            else (0.5, 0.5)
        )  # fmt: skip
        tall = SMALL_LINE * len(self.shapes) / 2 / BELOW
        down = min(max(down, tall), 1 - tall)
        x = source.x + along * (first.x - source.x)
        y = source.y + source.height
        y += down * (first.y - y)
        leans = first.x - source.x if forks else source.x - first.x if joins else 0.0
        return (x - 8, y, "end") if leans < -1 else (x + 6, y, "start")

    def reach(self) -> tuple[float, float]:
        """How far its shapes go to the left and to the right."""
        x, _, anchor = self.words()
        wide = _width(self.shapes, SMALL)
        left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        return left, left + wide


def picture(nodes: Sequence[Node], edges: Edges) -> str:
    """An SVG, complete in itself. Between two nodes is one arrow, for all shapes."""
    boxes = [*map(Box, map(caption, nodes), _rows(nodes, edges))]
    shapes: dict[tuple[int, int], list[str]] = {}
    for a, b, shape in edges:
        shapes.setdefault((a, b), []).append(shape)
    arrows = [Arrow(boxes[a], boxes[b], texts) for (a, b), texts in shapes.items()]
    for arrow in arrows:
        arrow.make_room()
    every = [*boxes, *(box for arrow in arrows for box in arrow.path[1:-1])]
    _place(every)
    reaches = [arrow.reach() for arrow in arrows]
    reaches += [(box.x - box.width / 2, box.x + box.width / 2) for box in every]
    left, right = min(reach[0] for reach in reaches), max(reach[1] for reach in reaches)
    for box in every:
        box.x += MARGIN - left
    width = right - left + 2 * MARGIN
    height = max(box.y + box.height for box in boxes) + MARGIN
    body = [*map(_line, arrows), *map(_words, arrows), *map(_box, boxes, nodes)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="monospace" font-size="12">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#555"/></marker>'
        '</defs><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(body)}</svg>"
    )


def _width(lines: Sequence[str], letter: float) -> float:
    return letter * max(map(len, lines), default=0)


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


def _place(boxes: Sequence[Box]) -> None:
    """Puts each box into its place; the left end is to be found yet."""
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
    top = MARGIN
    for row in rows:
        tall = max((box.height for box in row), default=0)
        for box in row:
            box.y = top
            box.height = box.height if box.lines else tall  # an arrow on its way
        top += tall + BELOW


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
        x = max(wish, edge + box.room / 2)
        starts.append(x)
        edge = x + box.room / 2 + APART
    pushed = sum(x - wish for x, wish in zip(starts, wished, strict=True))
    for box, x in zip(row, starts, strict=True):
        box.x = x - pushed / len(row)


def _line(arrow: Arrow) -> str:
    start = arrow.path[0]
    d = [f"M{start.x:.1f} {start.y + start.height:.1f}"]
    for here, after in pairwise(arrow.path):
        top, bottom = here.y + here.height, after.y
        half = (top + bottom) / 2
        d.append(
            f"L{here.x:.1f} {top:.1f}C{here.x:.1f} {half:.1f} "
            f"{after.x:.1f} {half:.1f} {after.x:.1f} {bottom:.1f}"
        )
    return f'<path d="{"".join(d)}" fill="none" stroke="#555" marker-end="url(#tip)"/>'


def _words(arrow: Arrow) -> str:
    x, middle, anchor = arrow.words()
    first = middle + 4 - SMALL_LINE * (len(arrow.shapes) - 1) / 2
    return "".join(
        f'<text x="{x:.1f}" y="{first + SMALL_LINE * i:.1f}" text-anchor="{anchor}" '
        'font-size="11" fill="#444" stroke="white" stroke-width="4" '
        f'paint-order="stroke">{escape(shape)}</text>'
        for i, shape in enumerate(arrow.shapes)
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
