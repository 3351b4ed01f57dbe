"""A table of a net: each layer's output shape, params and FLOPs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax

from lenetjax.core import Layer, Plan, PyTree
from lenetjax.specs import shapes_text


class Row(NamedTuple):
    """One layer of a summary.

    `flops` counts the multiplications and additions in products of matrices and in
    convolutions, two for each multiply-add, for the whole batch. `shared` is true for
    the second and later calls of one layer, whose params are counted once.
    """

    path: str
    layer: str
    output: str
    params: int
    state: int
    flops: int
    shared: bool


@dataclass(frozen=True)
class Summary:
    """The rows of a net's summary; `print` shows them as a table."""

    input: str
    rows: tuple[Row, ...]

    def total(self, column: str) -> int:
        """Sums "params", "state" or "flops", with shared params counted once."""
        return sum(
            getattr(row, column)
            for row in self.rows
            if column == "flops" or not row.shared
        )

    def __str__(self) -> str:
        titles = ("path", "layer", "output", "params", "FLOPs")
        body = [
            (
                row.path,
                row.layer,
                row.output,
                "shared" if row.shared else f"{row.params:,}",
                f"{row.flops:,}",
            )
            for row in self.rows
        ]
        totals = (
            "total",
            "",
            "",
            f"{self.total('params'):,}",
            f"{self.total('flops'):,}",
        )
        lines = [titles, ("input", "", self.input, "", ""), *body, totals]
        widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
        text = ["  ".join(_cells(line, widths)).rstrip() for line in lines]
        rule = "-" * max(map(len, text))
        return "\n".join([text[0], rule, *text[1:-1], rule, text[-1]])

    __repr__ = __str__


def summary(net: Layer, x: PyTree) -> Summary:
    """Lists a net's layers with their output shapes, params and FLOPs.

    Nothing is computed and no params are needed: all comes from shapes.

    Args:
      net: any layer.
      x: an example input, or its `jax.ShapeDtypeStruct`.

    Returns:
      A `Summary`, in the order of the calls.

    Raises:
      LayerError: x does not fit the net.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> print(nn.summary(nn.serial(fc=nn.linear(2)), jnp.zeros((1, 3))))
      path   layer      output        params  FLOPs
      ---------------------------------------------
      input             float32[1,3]
      fc     linear(2)  float32[1,2]       8     12
      ---------------------------------------------
      total                                8     12
    """
    plan = net.plan(x)
    seen: set[str] = set()
    rows = []
    for leaf, copies in _leaves(plan):
        shared = leaf.path in seen
        seen.add(leaf.path)
        text = leaf.layer.text if copies == 1 else f"{copies} x {leaf.layer.text}"
        counts = (_count(leaf.params), _count(leaf.state), _flops(leaf))
        params, state, flops = (copies * count for count in counts)
        output = shapes_text(leaf.y)
        rows.append(Row(leaf.path, text, output, params, state, flops, shared))
    return Summary(shapes_text(plan.x), tuple(rows))


def _leaves(plan: Plan, copies: int = 1) -> Iterator[tuple[Plan, int]]:
    """The layers that have no others inside, and how many copies there are of each."""
    if not plan.children:
        yield plan, copies
    for child in plan.children:
        yield from _leaves(child, copies * plan.copies)


def _count(specs: dict[str, Any]) -> int:
    return sum(math.prod(spec.shape) for spec in jax.tree.leaves(specs))


def _flops(plan: Plan) -> int:
    net = plan.layer
    key = jax.eval_shape(jax.random.key, 0)

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


def _cells(line: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    for i, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.ljust(width) if i < 3 else cell.rjust(width)
