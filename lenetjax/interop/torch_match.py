"""Turns the arrays of a net into PyTorch's and back, and compares what is there."""

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import Layer, LayerError, PyTree
from lenetjax.interop.feature_order import feature_orders
from lenetjax.interop.torch_layers import ALL, OUT_FIRST, Array
from lenetjax.interop.torch_places import Place, counters_of, homes_of, places_of
from lenetjax.trees import flat, unflat

Arrays = dict[str, Array]


class Match:
    """How the arrays of a net correspond to those of PyTorch's.

    Ours go by path, "block/conv1/weight", params and state in one dict.

    Attributes:
      plan: the net's plan for the input.
      specs: the shapes and dtypes of all our arrays.
      places: PyTorch's arrays by name.
      orders: where PyTorch has features in another order, by path and input.
    """

    def __init__(self, net: Layer, x: PyTree, names: Mapping[str, str] | None) -> None:
        if any(hasattr(leaf, "detach") for leaf in jax.tree.leaves(x)):
            raise LayerError(
                "x must be an input in our layout, channels last, such as "
                "jnp.zeros((1, 32, 32, 3)); got a tensor of PyTorch's"
            )
        self.plan = net.plan(x)
        tree = {**flat(self.plan.params), **flat(self.plan.state)}
        self.specs = {name.replace(".", "/"): spec for name, spec in tree.items()}
        self.homes = homes_of(net, self.specs, names or {})
        self.places = places_of(self.homes)
        self.counters = counters_of(self.homes)
        self.orders = feature_orders(net, x) if self.homes else {}

    def to_torch(self, ours: Arrays) -> Arrays:
        """PyTorch's arrays, made of all of ours."""
        theirs = {}
        for name, place in self.places.items():
            parts = [self._to_torch(place, ours[path]) for path in place.paths]
            whole = np.concatenate(parts)
            if whole.dtype == jnp.bfloat16:  # torch.tensor takes no such array
                whole = whole.astype(np.float32)
            theirs[name] = np.array(whole, order="C")
        return theirs | {name: np.zeros((), np.int64) for name in self.counters}

    def from_torch(self, theirs: Arrays) -> Arrays:
        """Our arrays, made of all of PyTorch's."""
        copies: dict[str, list[Array]] = {}
        for name, place in self.places.items():
            parts = np.split(theirs[name], len(place.paths))
            for path, part in zip(place.paths, parts, strict=True):
                copies.setdefault(path, []).append(self._from_torch(place, part))
        shapes = {path: spec.shape for path, spec in self.specs.items()}
        return {
            path: np.stack(arrays).reshape(shapes[path])
            for path, arrays in copies.items()
        }

    def tree(self, ours: Arrays, like: PyTree) -> PyTree:
        """Those of our arrays that stand in a tree of specs, as JAX's."""
        return unflat({
            name: jnp.asarray(ours[name.replace(".", "/")], spec.dtype)
            for name, spec in flat(like).items()
        })  # fmt: skip

    def refuse_differences(self, theirs: Mapping[str, Array]) -> None:
        """Refuses a state dict that is another net's, with all differences.

        Raises:
          LayerError: something is missing, left over, or has another shape or dtype.
        """
        lines = [
            f"  {' + '.join(place.paths)} = {name}: {problem}"
            for name, place in self.places.items()
            if (problem := self._problem(place, theirs.get(name)))
        ]
        known = {*self.places, *self.counters}
        lines += [
            f"  nothing of ours = {name}: got {_text(array)}"
            for name, array in theirs.items()
            if name not in known
        ]
        if lines:
            raise LayerError(
                "the weights are not those of this net in PyTorch (our path = their "
                "name):\n" + "\n".join(lines) + "\n" + _advice(theirs, known)
            )

    def _problem(self, place: Place, array: Array | None) -> str | None:
        shape = self._their_shape(place)
        if array is None:
            return f"expected {shape}, and it is missing"
        if array.shape != shape:
            return f"expected {shape}, got {array.shape}"
        if not jnp.issubdtype(array.dtype, jnp.floating):
            return f"expected floating numbers, got {array.dtype}"
        return None

    def _their_shape(self, place: Place) -> tuple[int, ...]:
        shapes = [
            self._to_torch(place, np.broadcast_to(np.float32(0), spec.shape)).shape
            for spec in (self.specs[path] for path in place.paths)
        ]
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def _to_torch(self, place: Place, array: Array) -> Array:
        """One copy of one of our arrays, turned."""
        sizes = array.shape[len(place.home.copies) :]
        array = array.reshape(-1, *sizes)[place.copy]
        turn = place.part.turn
        for axis, order in self._orders(place):
            if axis == ALL:
                turn = OUT_FIRST
            else:
                array = array.take(np.argsort(order), axis)
        return turn.to_torch(array)

    def _from_torch(self, place: Place, array: Array) -> Array:
        """Undoes `_to_torch`."""
        orders = self._orders(place)
        turn = OUT_FIRST if any(axis == ALL for axis, _ in orders) else place.part.turn
        array = turn.from_torch(array)
        for axis, order in orders:
            if axis != ALL:
                array = array.take(order, axis)
        return array

    def _orders(self, place: Place) -> list[tuple[int, Array]]:
        """The axes of ours that are in another order in PyTorch, and which."""
        found = self.orders.get(place.home.path, {})
        return [
            (axis, found[number])
            for axis, number in place.part.features.items()
            if number in found
        ]


def _advice(theirs: Iterable[str], known: Iterable[str]) -> str:
    """What to do about names that do not fit."""
    theirs, known = set(theirs), set(known)
    starts = {name.partition(".")[0] for name in theirs}
    if len(starts) == 1 and not theirs & known:
        (start,) = starts
        if {name.removeprefix(f"{start}.") for name in theirs} & known:
            return f"All names begin with {start!r}: give names={{'': {start!r}}}"
    return (
        "Give the net that these weights were trained in. Where only names differ, "
        "give names={'our/path': 'their.module'}"
    )


def _text(array: Array) -> str:
    return f"{array.shape} of {array.dtype}"
