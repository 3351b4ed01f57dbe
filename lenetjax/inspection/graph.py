"""What a function of a net does, as a graph: the way there, and the way back."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lenetjax.core import Layer
from lenetjax.inspection import graph_svg, graph_text
from lenetjax.inspection.nodes import (
    Group,
    Node,
    belongs,
    gathered,
    without_finishings,
    without_preparations,
)
from lenetjax.inspection.operations import Operations
from lenetjax.specs import shapes_text


class Edge(NamedTuple):
    """An arrow: from one node to another, by number, with the shape that goes along."""

    source: int
    target: int
    shape: str


@dataclass(frozen=True)
class Graph:
    """Nodes in the order of their work, and the edges between them.

    `print` shows the chains from input to output. In a notebook it is a picture.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    _back: Callable[[int], "Graph"] = field(repr=False, compare=False)

    def backward(self, argnum: int = 0) -> "Graph":
        """The way back: what the gradient with respect to one argument computes.

        Each node stands for what a layer does on that way; its `params` are those whose
        gradients it makes, and `saved` says what it keeps from the way there.

        Args:
          argnum: the number of the argument, as in `jax.grad`.

        Raises:
          ValueError: there is no such argument, or nothing in it has a gradient.
        """
        return self._back(argnum)

    def __str__(self) -> str:
        return graph_text.chains(self.nodes, self.edges)

    __repr__ = __str__

    def dot(self) -> str:
        """The graph in Graphviz's language."""
        return graph_text.dot(self.nodes, self.edges)

    def mermaid(self) -> str:
        """The graph in Mermaid's language, which many Markdown viewers draw."""
        return graph_text.mermaid(self.nodes, self.edges)

    def svg(self) -> str:
        """A picture of the graph, from top to bottom, with shapes on the arrows."""
        return graph_svg.picture(self.nodes, self.edges)

    _repr_svg_ = svg


def graph(f: Callable[..., Any] | Layer, *args: Any) -> Graph:
    """Follows what a function does with its arguments, layer by layer.

    Nothing is computed: the function is traced, as by `jax.jit`, and what it would
    compute is gathered by the layers, losses and named scopes that it comes from. Array
    functions that no scope names are nodes by themselves.

    Args:
      f: any function that JAX can trace, such as a loss of params and a batch; or a
        layer, for its `apply`.
      *args: its arguments: arrays or nested dicts of them, or their
        `jax.ShapeDtypeStruct`.

    Returns:
      A `Graph`. The first argument that is no params is called "input" in it, the
      result "loss" if it is a scalar and else "output". Arrays that the function closes
      over are shown where its arguments are params alone.

    Raises:
      LayerError: the arguments do not fit the net.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.serial(fc1=nn.linear(4), act=jax.nn.relu, fc2=nn.linear(1))
      >>> x = jnp.zeros((8, 3))
      >>> params = net.init(jax.random.key(0), x)
      >>> def loss(params, x):
      ...     return nn.losses.mse(net.apply(params, x), jnp.ones((8, 1)))
      >>> graph = nn.graph(loss, params, x)
      >>> graph
      input -> linear -> relu -> linear -> mse -> loss
      >>> graph.backward()
      loss -> mse -> linear -> relu -> linear
    """
    function = f.apply if isinstance(f, Layer) else f
    traced = jax.make_jaxpr(function)(*args)
    all_of = Operations(traced)
    leaves = _leaves(function, args)
    groups = gathered(all_of.operations, all_of.outputs)
    is_scalar = len(all_of.outputs) == 1 and not traced.out_avals[0].shape
    end = "loss" if is_scalar else "output"
    sources = _outside(all_of.inputs, leaves)
    if len(_params(sources, _layers(groups))) == len(sources):  # a loss of params alone
        constants = list(all_of.constants.values())
        sources += _outside(constants, [("constant",)] * len(constants))
    return _built(
        groups,
        all_of.specs,
        sources,
        _outside(all_of.outputs, [(end,)] * len(all_of.outputs)),
        lambda argnum: _back(function, args, argnum, end),
    )


class _Outside(NamedTuple):
    """A value that comes from outside or goes there: an argument's, or the result's.

    A result that is a constant has no number, which -1 says.
    """

    number: int
    name: str
    path: str = ""  # inside of the argument: "conv1/weight"
    is_first: bool = False  # whether the argument is the first


def _outside(
    numbers: Sequence[int], names: Sequence[tuple[Any, ...]]
) -> list[_Outside]:
    return [_Outside(n, *name) for n, name in zip(numbers, names, strict=True)]


def _back(
    function: Callable[..., Any], args: Sequence[Any], argnum: int, end: str
) -> Graph:
    if not 0 <= argnum < len(args):
        raise ValueError(f"argnum must be from 0 to {len(args) - 1}, got {argnum}")
    leaves, structure = jax.tree.flatten(args[argnum])
    smooth = [
        i
        for i, leaf in enumerate(leaves)
        if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)
    ]
    if not smooth:
        raise ValueError(f"argument {argnum} has no floating arrays, so no gradient")

    def gradients(args: Sequence[Any], cotangent: Any) -> Any:
        given = jax.tree.leaves(args[argnum])

        def of(moving: Sequence[Any]) -> Any:
            for i, leaf in zip(smooth, moving, strict=True):
                given[i] = leaf
            whole = jax.tree.unflatten(structure, given)
            return function(*args[:argnum], whole, *args[argnum + 1 :])

        return jax.vjp(of, [given[i] for i in smooth])[1](cotangent)

    result = jax.eval_shape(function, *args)
    traced = Operations(jax.make_jaxpr(gradients)(list(args), result))
    cotangents = traced.inputs[len(jax.tree.leaves(args)) :]
    names = _leaves(function, args, argnum)
    return _built(
        gathered([op for op in traced.operations if op.place.backward], traced.outputs),
        traced.specs,
        _outside(cotangents, [(end,)] * len(cotangents)),
        _outside(traced.outputs, [names[i] for i in smooth]),
        lambda argnum: _back(function, args, argnum, end),
        saves=True,
    )


def _built(
    groups: Sequence[Group],
    specs: Sequence[Any],
    sources: Sequence[_Outside],
    results: Sequence[_Outside],
    back: Callable[[int], Graph],
    saves: bool = False,
) -> Graph:
    """Joins nodes with what comes from outside and goes there."""
    params = _params(sources, _layers(groups))
    gradients = _params(results, _layers(groups))
    data = {source.number for source in sources} - set(params)
    ends = {result.number for result in results}
    groups = without_preparations(groups, data, ends, there=not saves)
    groups = without_finishings(groups, gradients)
    draft = _Draft(specs)
    for group in groups:
        for number in sorted(group.takes & set(params)):
            if belongs(params[number], group.node):
                group.node.params.append(params[number])
                group.takes.remove(number)
    called = ""  # the argument that is the input
    used = {number for group in groups for number in group.takes} | ends
    for source in sources:
        if source.number in used:
            is_param = source.number in params
            first = not (is_param or called or saves)
            if first:
                called = source.name
            if first or (source.path and source.name == called):
                source = source._replace(name="input")
            draft.source(source, is_param)
    for group in groups:
        index = draft.add(group.node)
        for number in sorted(group.takes):
            if number in draft.makers:
                draft.join(number, index)
            elif saves:
                group.node.saved.append(shapes_text(specs[number]))
        draft.makers |= dict.fromkeys(group.makes, index)
    for result in results:
        draft.result(result, is_gradient=result.number in gradients)
    return Graph(tuple(draft.nodes), tuple(draft.edges), back)


def _layers(groups: Sequence[Group]) -> list[Node]:
    return [group.node for group in groups if group.node.is_layer]


def _params(outside: Sequence[_Outside], layers: Sequence[Node]) -> dict[int, str]:
    """The values that are a layer's params, by their paths.

    An entry of a dict may be one. Those of a layer that is no part of a net have no
    path to tell them by; they come first.
    """
    return {
        value.number: value.path
        for value in outside
        if any(
            belongs(value.path, node) and (node.path or value.is_first)
            for node in layers
        )
    }


class _Draft:
    """A graph in the making."""

    def __init__(self, specs: Sequence[Any]) -> None:
        self.specs = specs
        self.nodes: list[Node] = []
        self.edges: dict[Edge, None] = {}  # each once, in order
        self.makers: dict[int, int] = {}  # the node that makes a value
        self.outside: dict[str, int] = {}  # the nodes of inputs and outputs

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def join(self, number: int, target: int) -> None:
        shape = shapes_text(self.specs[number])
        self.edges[Edge(self.makers[number], target, shape)] = None

    def source(self, source: _Outside, is_param: bool) -> None:
        path = "" if is_param else source.path
        name = f"{source.name}/{path}" if path else source.name
        if name not in self.outside:
            self.outside[name] = self.add(Node(name))
        self.makers[source.number] = self.outside[name]

    def result(self, result: _Outside, is_gradient: bool) -> None:
        if result.number not in self.makers:  # a constant
            return
        maker = self.nodes[self.makers[result.number]]
        if is_gradient and belongs(result.path, maker):
            maker.params.append(result.path)
            return
        name = f"{result.name} "  # another node than the input of this name
        if name not in self.outside:
            self.outside[name] = self.add(Node(result.name))
        self.join(result.number, self.outside[name])


def _leaves(
    function: Callable[..., Any], args: Sequence[Any], only: int | None = None
) -> list[tuple[str, str, bool]]:
    """For each array: its argument's name, its path there, and whether it is first."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = []
    names += [f"argument {i}" for i in range(len(names), len(args))]
    return [
        (names[i], jax.tree_util.keystr(path, simple=True, separator="/"), i == 0)
        for i, arg in enumerate(args)
        if only in (None, i)
        for path, _ in jax.tree_util.tree_leaves_with_path(arg)
    ]
