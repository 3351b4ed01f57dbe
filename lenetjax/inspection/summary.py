"""A table of a net: each layer's output shape, params and FLOPs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import jax

from lenetjax.core import Layer, LayerError, Plan, PyTree
from lenetjax.specs import key_spec, shapes_text, spec_of

TEXTS = 3  # columns of words, before those of numbers


class Row(NamedTuple):
    """One layer of a summary.

    `flops` counts the multiplications and additions in products of matrices and in
    convolutions, two for each multiply-add, for the whole batch; `bytes` are those of
    the output. `shared` is true for the second and later calls of one layer, whose
    params are counted once.
    """

    path: str
    layer: str
    output: str
    params: int
    state: int
    flops: int
    bytes: int
    shared: bool = False


@dataclass(frozen=True)
class Summary:
    """A net's summary; `print` shows it as a table, a notebook as HTML.

    Attributes:
      input: the shape and dtype of the net's input.
      rows: a `Row` for each layer, in the order of the calls.
      error: why the net does not take this input; the rows end before the layer at
        fault then.
    """

    input: str
    rows: tuple[Row, ...]
    error: LayerError | None = None

    def total(self, column: str) -> int:
        """Sums "params", "state", "flops" or "bytes", with shared params counted once.

        Raises:
          LayerError: the net does not take this input.
        """
        if self.error is not None:
            raise self.error
        once = column in ("params", "state")
        return sum(
            getattr(row, column) for row in self.rows if not (once and row.shared)
        )

    def table(self) -> list[tuple[str, ...]]:
        """What `print` shows, cell by cell: titles, input, layers and totals."""
        columns = ["params", "flops", "bytes"]
        if any(row.state for row in self.rows):
            columns.insert(1, "state")
        titles = (
            "path",
            "layer",
            "output",
            *("FLOPs" if c == "flops" else c for c in columns),
        )
        body = [
            (row.path, row.layer, row.output, *(_cell(row, c) for c in columns))
            for row in self.rows
        ]
        first = ("input", "", self.input, *("" for _ in columns))
        if self.error is not None:
            return [titles, first, *body]
        totals = (f"{self.total(column):,}" for column in columns)
        return [titles, first, *body, ("total", "", "", *totals)]

    def __str__(self) -> str:
        lines = self.table()
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = ["  ".join(_padded(line, widths)).rstrip() for line in lines]
        rule = "-" * max(map(len, text))
        if self.error is not None:
            return "\n".join([text[0], rule, *text[1:], rule, str(self.error)])
        return "\n".join([text[0], rule, *text[1:-1], rule, text[-1]])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        titles, *lines = self.table()
        rows = [_html_row("th", titles), *(_html_row("td", line) for line in lines)]
        table = f"<table>{''.join(rows)}</table>"
        if self.error is None:
            return table
        wrapped = '<pre style="white-space:pre-wrap">'
        return f"{table}{wrapped}{escape(str(self.error))}</pre>"


def summary(net: Layer, x: PyTree) -> Summary:
    """Lists a net's layers with their output shapes, params, state, FLOPs and bytes.

    Nothing is computed and no params are needed: all comes from shapes. Where shapes do
    not fit, the rows go up to the layer at fault, and what it says stands below them.

    Args:
      net: any layer.
      x: an example input, or its `jax.ShapeDtypeStruct`.

    Returns:
      A `Summary`, in the order of the calls. Products in the forward function of a
      `compose` have a row of their own.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> print(nn.summary(nn.serial(fc=nn.linear(2)), jnp.zeros((1, 3))))
      path   layer      output        params  FLOPs  bytes
      ----------------------------------------------------
      input             float32[1,3]
      fc     linear(2)  float32[1,2]       8     12      8
      ----------------------------------------------------
      total                                8     12      8
    """
    try:
        plan = net.plan(x)
    except LayerError as error:
        rows = [row for plan in error.planned for row in _rows(plan)]
        given = shapes_text(jax.tree.map(spec_of, x))
        return Summary(given, tuple(rows), error)
    return Summary(shapes_text(plan.x), tuple(_rows(plan)))


def _rows(plan: Plan, copies: int = 1) -> Iterator[Row]:
    """The layers that have no others inside, and how many copies there are of each."""
    if not plan.children:
        yield _row(plan, copies)
    for child in plan.children:
        yield from _rows(child, copies * plan.copies)
    if plan.layer.kind == "compose" and (own := _flops(plan) - _flops_inside(plan)):
        path, output = plan.path or "forward", shapes_text(plan.y)
        yield Row(path, "its own products", output, 0, 0, copies * own, 0)


def _row(plan: Plan, copies: int) -> Row:
    text = plan.layer.text
    return Row(
        plan.path,
        text if copies == 1 else f"{copies} x {text}",
        shapes_text(plan.y),
        params=copies * _count(plan.params),
        state=copies * _count(plan.state),
        flops=copies * _flops(plan),
        bytes=copies * _bytes(plan.y),
        shared="#" in plan.path,
    )


def _count(specs: dict[str, Any]) -> int:
    return sum(math.prod(spec.shape) for spec in jax.tree.leaves(specs))


def _bytes(specs: PyTree) -> int:
    return sum(math.prod(s.shape) * s.dtype.itemsize for s in jax.tree.leaves(specs))


def _flops_inside(plan: Plan) -> int:
    """Those of the layers inside, copies included."""
    return plan.copies * sum(_flops(child) for child in plan.children)


def _flops(plan: Plan) -> int:
    net = plan.layer
    key = key_spec()

    def forward(params: Any, state: Any, x: PyTree, key: jax.Array) -> PyTree:
        return net.apply_with_state(params, state, x, key=key, train=False)

    jaxpr = jax.make_jaxpr(forward)(plan.params, plan.state, plan.x, key)
    return _flops_of(jaxpr.jaxpr)


def _flops_of(jaxpr: Any) -> int:
    """Counts products of matrices and convolutions, in inner jaxprs too."""
    total = 0
    for eqn in jaxpr.eqns:
        shapes = [var.aval.shape for var in eqn.invars if hasattr(var.aval, "shape")]
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            depth = math.prod(shapes[0][axis] for axis in contracted)
            total += 2 * depth * eqn.outvars[0].aval.size
        elif eqn.primitive.name == "conv_general_dilated":
            out_channel = eqn.params["dimension_numbers"].rhs_spec[0]
            depth = math.prod(shapes[1]) // shapes[1][out_channel]
            total += 2 * depth * eqn.outvars[0].aval.size
        repeats = eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1
        for inner in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "eqns")
        ):
            if hasattr(inner, "eqns"):
                total += repeats * _flops_of(inner)
    return total


def _cell(row: Row, column: str) -> str:
    shared = row.shared and column in ("params", "state")
    return "shared" if shared else f"{getattr(row, column):,}"


def _padded(line: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    for i, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.ljust(width) if i < TEXTS else cell.rjust(width)


def _html_row(tag: str, line: tuple[str, ...]) -> str:
    cells = (
        f'<{tag} style="padding:0 0.5em;text-align:{"left" if i < TEXTS else "right"}">'
        f"{escape(cell)}</{tag}>"
        for i, cell in enumerate(line)
    )
    return f"<tr>{''.join(cells)}</tr>"
