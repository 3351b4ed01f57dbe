"""Whether a net computes what PyTorch's does, layer by layer."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import Layer, LayerError, Params, PyTree, State
from lenetjax.inner_outputs import first_call
from lenetjax.interop.feature_codes import (
    KEEPS_FEATURES,
    KEEPS_IMAGES,
    MAKES_FEATURES,
    MAKES_IMAGES,
)
from lenetjax.interop.torch_arrays import Array, as_numpy, read_arrays
from lenetjax.interop.torch_match import Match
from lenetjax.interop.torch_places import Home
from lenetjax.trees import flat
from lenetjax.wrappers import taps

IMAGES = MAKES_IMAGES | KEEPS_IMAGES


@dataclass(frozen=True)
class Row:
    """How one layer differs, relative to the largest of PyTorch's values.

    Attributes:
      path: our path; "" is the net.
      module: PyTorch's name of it.
      output: the largest difference of its outputs, over all its calls; None if
        PyTorch's module is never called by itself.
      gradient: that of the gradients of its params; None if it has none.
    """

    path: str
    module: str
    output: float | None
    gradient: float | None


@dataclass(frozen=True)
class Parity:
    """What `parity` found; it prints as a table.

    Attributes:
      rows: a row for each layer that has params or state, in the order of the net, and
        the last for the net's own output. Each has `path`, `module`, `output` and
        `gradient`.

    Example:
      >>> import lenetjax as nn
      >>> from lenetjax.interop.torch_parity import Row
      >>> rows = (Row("fc1", "classifier.0", 1.2e-7, 3e-7), Row("", "", 4e-7, None))
      >>> print(nn.interop.Parity(rows))
      layer     in PyTorch    output   gradient
      fc1       classifier.0  1.2e-07  3.0e-07
      (output)                4.0e-07  -
      >>> nn.interop.Parity(rows).largest
      4e-07
    """

    rows: tuple[Row, ...]

    @property
    def largest(self) -> float:
        """The largest difference of all; NaN if there is one."""
        return float(np.max([
            value
            for row in self.rows
            for value in (row.output, row.gradient)
            if value is not None
        ]))  # fmt: skip

    def __str__(self) -> str:
        head = ("layer", "in PyTorch", "output", "gradient")
        lines = [head, *(_cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = [
            [cell.ljust(n) for cell, n in zip(line, widths, strict=True)]
            for line in lines
        ]
        return "\n".join("  ".join(cells).rstrip() for cells in padded)

    __repr__ = __str__


def parity(
    net: Layer,
    params: Params,
    torch_module: Any,
    x: PyTree,
    *,
    state: State | None = None,
    names: Mapping[str, str] | None = None,
) -> Parity:
    """Compares a net with PyTorch's, layer by layer: outputs, and params' gradients.

    Both run in evaluation mode, on the same input. Gradients are those of one fixed
    random sum of the output. The first row that differs says where to look.

    Args:
      net, params, state, names: as for `to_torch`.
      torch_module: the module of PyTorch's; it is only read, and on the CPU.
      x: an input in our layout, floating. PyTorch's module gets it with channels first
        if it has four axes or more, or if the first layer is one of images.

    Returns:
      A table of differences, each relative to the largest value: about 1e-6 in float32
      where the nets agree. Its `largest` is the largest of all.

    Raises:
      LayerError: params and state do not fit the net, the module has other weights or
        another output, or the order of features cannot be found.

    Example:
      >>> import lenetjax as nn
      >>> def agrees(net, module, x):
      ...     params, state = nn.interop.from_torch(net, module, x)
      ...     found = nn.interop.parity(net, params, module, x, state=state)
      ...     print(found)  # a row for each layer, see Parity
      ...     return found.largest < 1e-4
    """
    match = Match(net, x, names)
    match.refuse_differences(read_arrays(torch_module))
    theirs = _run_theirs(torch_module, _input(net, x), match.homes)
    ours = _run_ours(net, params, {} if state is None else state, x, match, theirs.y)
    gradients = match.from_torch(theirs.gradients)
    rows = [
        Row(
            home.path,
            ", ".join(home.prefixes),
            _outputs_differ(home, ours.outputs, theirs.outputs, match),
            _gradients_differ(home, ours.gradients, gradients),
        )
        for home in match.homes
    ]
    return Parity((*rows, Row("", "", _difference(ours.y, theirs.y), None)))


class _Ran(NamedTuple):
    """What a net made: output, outputs of layers by call, gradients by path or name."""

    y: Array
    outputs: dict[str, list[Array]]
    gradients: dict[str, Array]


def _run_theirs(module: Any, x: Array, homes: list[Home]) -> _Ran:
    import torch

    outputs: dict[str, list[Array]] = {}

    def hook(name: str) -> Callable[..., None]:
        def keep(module: Any, given: Any, y: Any) -> None:
            outputs.setdefault(name, []).append(as_numpy(name, _main(y)))

        return keep

    weights = dict(module.named_parameters(remove_duplicate=False))
    some = next(iter(weights.values()), torch.zeros(()))
    trained = {inner: inner.training for inner in module.modules()}
    hooks = [
        module.get_submodule(name).register_forward_hook(hook(name))
        for home in homes
        for name in home.prefixes
    ]
    try:
        y = _main(module.eval()(torch.tensor(x).to(some)))
        total = (y * torch.tensor(_projection(y.shape)).to(y)).sum()
        gradients = weights and torch.autograd.grad(
            total, list(weights.values()), allow_unused=True, materialize_grads=True
        )
    finally:
        for inner, training in trained.items():
            inner.training = training
        for handle in hooks:
            handle.remove()
    arrays = {name: np.zeros_like(a) for name, a in read_arrays(module).items()}
    for name, gradient in zip(weights, gradients, strict=True):
        arrays[name] = as_numpy(name, gradient)
    return _Ran(as_numpy("output", y), outputs, arrays)


def _run_ours(
    net: Layer, params: Params, state: State, x: PyTree, match: Match, theirs: Array
) -> _Ran:
    paths = [home.path for home in match.homes if home.path]
    last = match.homes[-1].layer.kind if match.homes else ""

    def run(params: Params) -> tuple[Any, Any]:
        if paths:
            y, outputs = taps(net, *paths)(params, x, state=state)
        else:
            y, outputs = net.apply(params, x, state=state), {}
        y = jnp.asarray(_main(y))
        if y.ndim > 3 or (y.ndim == 3 and last in IMAGES):
            y = jnp.moveaxis(y, -1, 1)
        if y.shape != theirs.shape:
            raise LayerError(
                f"the output is {y.shape} in PyTorch's layout, and PyTorch's is "
                f"{theirs.shape}"
            )
        return (y * jnp.asarray(_projection(y.shape), y.dtype)).sum(), (y, outputs)

    gradients, (y, seen) = jax.jit(jax.grad(run, has_aux=True))(params)
    outputs: dict[str, list[Array]] = {}
    for path, output in seen.items():
        outputs.setdefault(first_call(path), []).append(np.asarray(_main(output)))
    arrays = {name: np.asarray(array) for name, array in flat(gradients).items()}
    return _Ran(np.asarray(y), outputs, arrays)


def _outputs_differ(
    home: Home,
    ours: Mapping[str, list[Array]],
    theirs: Mapping[str, list[Array]],
    match: Match,
) -> float | None:
    calls = [theirs.get(name, []) for name in home.prefixes]
    if not home.path or not all(calls):  # the whole net has a row of its own
        return None
    if {len(made) for made in calls} != {len(ours[home.path])}:
        raise LayerError(
            f"'{home.path}' is called {len(ours[home.path])} times, and PyTorch's "
            f"{len(calls[0])} times"
        )
    differences = []
    for i, output in enumerate(ours[home.path]):
        # Of a layer that `repeat` itself repeats, the last copy's output comes out.
        stacked = min(max(output.ndim - calls[0][i].ndim, 0), len(home.copies))
        inner = math.prod(home.copies[stacked:])
        copies = output.reshape(-1, *output.shape[stacked:])
        moved = [_in_their_layout(home, copy, match) for copy in copies]
        differences += [
            _difference(one, made[i])
            for one, made in zip(moved, calls[inner - 1 :: inner], strict=True)
        ]
    return float(np.max(differences))


def _in_their_layout(home: Home, y: Array, match: Match) -> Array:
    """A layer's output, of one copy, as PyTorch's module makes it."""
    kind, order = home.layer.kind, match.orders.get(home.path, {}).get(0)
    if kind in IMAGES and y.ndim > 2:
        return np.moveaxis(y, -1, 1)
    if order is not None and kind in KEEPS_IMAGES | KEEPS_FEATURES:
        if len(order) != y.shape[-1]:
            return np.moveaxis(y, -1, 1)
        return y[..., np.argsort(order)]
    return y


def _gradients_differ(
    home: Home, ours: Mapping[str, Array], theirs: Mapping[str, Array]
) -> float | None:
    """The largest, relative to the largest gradient of all the layer's params.

    Some are zero in theory, such as that of a bias that softmax takes out again, and
    rounding in fact.
    """
    start = f"{home.path}/" if home.path else ""
    pairs = [
        (ours[name].ravel(), theirs[path].ravel())
        for path in (start + name for name in home.specs)
        if (name := path.replace("/", ".")) in ours
    ]
    if not pairs:
        return None
    one, other = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return _difference(one, other)


def _input(net: Layer, x: PyTree) -> Array:
    """The input as PyTorch's module takes it."""
    if isinstance(x, (Mapping, tuple, list)):
        raise LayerError("parity compares nets of one array")
    kinds = [layer.kind for _, layer in net.walk()]
    known = IMAGES | MAKES_FEATURES | KEEPS_FEATURES
    first = next((kind for kind in kinds if kind in known), "")
    array = np.asarray(x)
    images = array.ndim > 3 or (array.ndim == 3 and first in IMAGES)
    array = np.moveaxis(array, -1, 1) if images else array
    return np.array(
        array, order="C"
    )  # of one channel too, whose strides matter to views


def _projection(shape: tuple[int, ...]) -> Array:
    """What the output is multiplied with before it is summed up."""
    return np.random.default_rng(0).normal(size=tuple(shape))


def _main(y: Any) -> Any:
    """The output alone, without the carry or the weights beside it."""
    return y[0] if isinstance(y, (tuple, list)) else y


def _difference(ours: Array, theirs: Array) -> float:
    """The largest, relative to the largest value of theirs."""
    if ours.shape != theirs.shape:
        raise LayerError(f"expected {theirs.shape} as in PyTorch, got {ours.shape}")
    if not ours.size:
        return 0.0
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    scale = np.abs(theirs).max()
    return float(np.abs(ours - theirs).max() / (scale if scale > 0 else 1))


def _cells(row: Row) -> tuple[str, ...]:
    numbers = ["-" if n is None else f"{n:.1e}" for n in (row.output, row.gradient)]
    return (row.path or "(output)", row.module, *numbers)
