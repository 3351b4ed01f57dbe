"""Where PyTorch has features in another order: its images have channels first.

`flatten` puts an image's values in the order (height, width, channel); PyTorch's is
(channel, height, width). The layer after it has to be turned accordingly, whatever
stands between: pooling, activations, a reshape in a function of the user's own.

So the net is run on *codes*. In place of each layer that PyTorch knows a stand-in runs:
a convolution returns an image whose values are their places in PyTorch's order, and
everything else returns one constant. Layers without params and functions really run.
The codes that arrive at a layer tell from which place each feature came. Where no code
of an image arrives, both libraries have the same layout all the way, and so the same
order. Other runs find where two layouts are mixed: there is no answer, but an error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import Call, Layer, LayerError, PyTree, State
from lenetjax.inner_outputs import TAPS

Codes = np.ndarray[Any, Any]
Orders = dict[str, dict[int, Codes]]  # by path and number of the input

RANKS = ("1d", "2d", "3d")
MAKES_IMAGES = {
    *(f"{name}{rank}" for name in ("conv", "conv_transpose") for rank in RANKS),
    *(f"{kind}_pool{rank}" for kind in ("avg", "max", "lp") for rank in RANKS),
    *(f"adaptive_{kind}_pool{rank}" for kind in ("avg", "max") for rank in RANKS),
    "global_avg_pool", "global_max_pool", "upsample", "pad", "pixel_shuffle",
    "pixel_unshuffle", "channel_shuffle",
}  # fmt: skip
KEEPS_IMAGES = {  # where there are more axes than two
    "batch_norm", "group_norm", "instance_norm", "local_response_norm", "prelu",
}  # fmt: skip
MAKES_FEATURES = {
    "linear", "bilinear", "embedding", "rnn", "lstm", "gru", "multi_head_attention",
    "transformer_encoder_block",
}  # fmt: skip
KEEPS_FEATURES = {
    "layer_norm", "rms_norm", "learned_positions", "sinusoidal_positions",
}  # fmt: skip
ANY_LAYOUT = {"linear", "bilinear", *KEEPS_FEATURES}  # PyTorch may have permuted axes

STILL = 0.5  # what does not matter in a run; no code has this value
NEAR = 1e-11  # codes that differ by less, relative to the largest, count as equal


@dataclass(frozen=True)
class Run:
    """What arrays of each layout hold: "still", "coded" or "noise".

    An image has the channels last here and first in PyTorch; a sequence (batch, time,
    features) and a vector (batch, features) are the same in both.
    """

    image: str = "still"
    sequence: str = "still"
    vector: str = "still"

    def values(self, shape: tuple[int, ...], image: bool) -> jax.Array:
        """An array of a shape, alike for each example of the batch."""
        image = image and len(shape) > 2
        how = self.image if image else self.sequence if len(shape) > 2 else self.vector
        if how == "still" or len(shape) < 2:
            return jnp.asarray(np.full(shape, STILL))  # NumPy compiles nothing
        if how == "noise":
            one = np.random.default_rng(0).normal(size=shape[1:])
        else:
            places = _places(shape[1:], image)
            one = 1 + (places + 1) / places.size
        return jnp.asarray(np.broadcast_to(one, shape))

    def of_unknown_layout(self, shape: tuple[int, ...]) -> jax.Array:
        """Codes of channels alone: flattened, they are in no order."""
        channels = self.values((1, 1, shape[-1]), image=True)
        return jnp.asarray(np.broadcast_to(channels, shape))

    def stand_in(
        self, layer: Layer, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        """Runs in place of a layer; notes down in its state what it was given."""
        if layer.settings.get("num_parameters") == 1:  # a prelu of one slope for all
            return x, state
        y = self._output(layer, x, call)
        if not (seen := _seen(layer, x)):
            return y, state
        return y, {**state, f"#{len(state)}": seen}

    def _output(self, layer: Layer, x: PyTree, call: Call) -> PyTree:
        if layer.kind in MAKES_IMAGES | MAKES_FEATURES:
            image = layer.kind in MAKES_IMAGES
            y = jax.tree.map(
                lambda spec: self.values(spec.shape, image), layer.plan(x).y
            )
            if layer.kind in ANY_LAYOUT and y.ndim > 2:
                return _chosen(self._of_image(x), self.of_unknown_layout(y.shape), y)
            return y
        if layer.kind in KEEPS_IMAGES:
            if x.ndim < 3 or self.image == "still":
                return x
            return _chosen(self._of_image(x), x, self.of_unknown_layout(x.shape))
        if layer.kind in KEEPS_FEATURES:
            if x.ndim < 3 or layer.settings.get("axes") == x.ndim - 1:
                return x
            return _chosen(self._of_image(x), self.of_unknown_layout(x.shape), x)
        y, _ = layer.run_call({}, {}, x, replace(call, stand_in=None))
        if _is_merge(x, y):
            return _chosen(self._of_image(x), self.values(y.shape, image=True), y)
        return y

    def _of_image(self, x: PyTree) -> Any:
        """Whether codes of images have come this far."""
        if self.image == "still":
            return False
        leaves = jax.tree.leaves(x)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):  # in a repeat
            return jnp.all(jnp.stack([jnp.ptp(leaf) > NEAR for leaf in leaves]))
        return all(np.ptp(np.asarray(leaf)) > NEAR for leaf in leaves)


RUNS = {
    "still": Run(),
    "image": Run(image="coded"),
    "noise": Run(image="noise"),
    "sequence": Run(sequence="coded"),
    "vector": Run(vector="coded"),
}


def feature_orders(net: Layer, x: PyTree) -> Orders:
    """Finds the layers whose features PyTorch has in another order.

    Args:
      net: the net.
      x: an example input, or its shape.

    Returns:
      By path and by the number of the layer's input, where PyTorch has each of our
      features; a layer whose features are in one order has no entry.

    Raises:
      LayerError: an order cannot be found.
    """
    plan = net.plan(x)
    with jax.enable_x64(True):
        found = {name: _run(run, net, plan.x) for name, run in RUNS.items()}
    orders: Orders = {}
    layers = dict(net.walk())
    for seen in found["still"]:
        codes = {name: notes[seen] for name, notes in found.items()}
        if seen.number is None:
            _check_image(seen.path, codes)
            continue
        order = _order(seen.path, codes)
        earlier = orders.setdefault(seen.path, {}).setdefault(seen.number, order)
        if not np.array_equal(earlier, order):
            raise _unknown(seen.path, "it is called on several orders")
        if not _is_plain(order):
            _refuse_fixed(seen.path, layers[seen.path], seen.number, len(order))
    return {
        path: changed
        for path, by_input in orders.items()
        if (changed := {i: o for i, o in by_input.items() if not _is_plain(o)})
    }


@dataclass(frozen=True)
class Seen:
    """What a layer was given: features by the number of the input, or an image."""

    path: str
    call: str
    number: int | None = None


def _run(run: Run, net: Layer, x: PyTree) -> dict[Seen, Codes]:
    """What each layer is given in a run."""

    def given(spec: Any) -> jax.Array:
        # Images are often given as bytes.
        floats = jnp.issubdtype(spec.dtype, jnp.floating)
        if not floats and (spec.dtype == bool or len(spec.shape) < 4):
            return jnp.asarray(np.zeros(spec.shape, spec.dtype))
        return run.values(spec.shape, image=len(spec.shape) > 3)

    call = Call(key=jax.random.key(0), stand_in=run.stand_in)
    y, notes = net.run_call({}, {}, jax.tree.map(given, x), call)
    seen = dict(_listed({name: note for name, note in notes.items() if name != TAPS}))
    for i, leaf in enumerate(jax.tree.leaves(y)):
        if leaf.ndim > 3:
            seen[Seen("", f"#y{i}")] = _channels_first(np.asarray(leaf))
    return seen


def _listed(notes: State, path: str = "") -> Iterator[tuple[Seen, Codes]]:
    """All notes; a layer that is repeated has made one note for all copies."""
    for name, entry in notes.items():
        if not name.startswith("#"):
            yield from _listed(entry, f"{path}/{name}" if path else name)
            continue
        for what, leaf in entry.items():
            number, _, axes = what.partition(":")
            codes = np.asarray(leaf)
            if number == "image":
                sizes = codes.shape[codes.ndim - int(axes) + 1 :]
                yield Seen(path, name), _channels_first(codes.reshape(-1, *sizes))
            else:
                features = int(np.prod(codes.shape[codes.ndim - int(axes) :]))
                yield Seen(path, name, int(number)), codes.reshape(-1, features)


def _seen(layer: Layer, x: PyTree) -> dict[str, jax.Array]:
    """What a layer is given, with how many axes an image or the features have."""
    leaves = jax.tree.leaves(x)
    arrays = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if layer.kind in MAKES_IMAGES | KEEPS_IMAGES and arrays[0].ndim > 2:
        return {f"image:{arrays[0].ndim}": arrays[0]}
    if layer.kind in MAKES_FEATURES | KEEPS_FEATURES | KEEPS_IMAGES:
        if isinstance(x, Mapping):  # the main input first
            main = [x[name] for name in ("x", "query") if name in x]
            arrays = [*main, *(a for a in arrays if all(a is not m for m in main))]
        axes = layer.settings.get("axes", 1)
        return {f"{i}:{axes}": array for i, array in enumerate(arrays)}
    return {}


def _order(path: str, codes: Mapping[str, Codes]) -> Codes:
    """Where PyTorch has each feature, from the rows of codes of each run."""
    still, image = codes["still"], codes["image"]
    order = np.arange(still.shape[1])
    reached = (image != still) | (codes["noise"] != still)
    columns = np.flatnonzero(reached.any(axis=0))
    if not len(columns):
        return order
    start, end = columns[0], columns[-1] + 1
    if not reached[:, start:end].all():
        raise _unknown(path, "those of images stand between others")
    block, near = image[:, start:end], _rounding(image)
    if (np.diff(block) > near).all():
        return order
    if (np.abs(block - block[:1]) > near).any():
        raise _unknown(path, "it differs from place to place")
    row = block[0]
    ranks = np.argsort(np.argsort(row, kind="stable"), kind="stable")
    apart = (np.diff(np.sort(row)) > near).all()
    if not apart or not np.array_equal(ranks, _flattened(len(row), int(ranks[1]))):
        raise _unknown(path, "the values of an image come in an order of their own")
    for name in ("sequence", "vector"):  # such as a factor for each channel
        others = (codes[name] - still)[:, start:end][:, np.argsort(ranks)]
        if (np.diff(others) < -_rounding(codes[name])).any():
            raise _unknown(path, "values of images are mixed with others")
    order[start:end] = start + ranks
    return order


def _flattened(size: int, positions: int) -> Codes:
    """PyTorch's place of each value of a flattened image of so many positions."""
    if positions < 1 or size % positions:
        return np.array([])
    return np.arange(size).reshape(-1, positions).T.ravel()


def _check_image(path: str, codes: Mapping[str, Codes]) -> None:
    """Refuses an image made of features that PyTorch would fill in another order."""
    places = codes["vector"] - codes["still"]
    near = _rounding(codes["vector"])
    if (np.ptp(places, axis=2) <= near).all():
        return  # alike at all positions
    if (np.diff(places.reshape(len(places), -1)) < -near).any():
        where = f"of '{path}'" if path else "of the net"
        raise LayerError(
            f"the image {where} is made of features in the order (height, width, "
            "channel), and PyTorch's are in the order (channel, height, width). Make "
            "it in PyTorch's order: nn.unflatten(1, (channels, height, width)), then "
            "nn.transpose((0, 2, 3, 1))",
            path=path,
        )


def _rounding(codes: Codes) -> float:
    """By how much two values may differ and count as equal."""
    eps = float(jnp.finfo(codes.dtype).eps)  # type: ignore[no-untyped-call]
    step = max(NEAR, 16 * eps)
    return step * float(max(1, np.abs(codes).max(initial=0)))


def _refuse_fixed(path: str, layer: Layer, number: int, features: int) -> None:
    """Refuses another order where a layer cannot be turned."""
    groups = layer.settings.get("groups") if layer.kind == "group_norm" else None
    fixed = {"multi_head_attention", "transformer_encoder_block"} | {
        "learned_positions", "sinusoidal_positions", "local_response_norm"
    }  # fmt: skip
    if (
        layer.kind in fixed
        or groups not in (None, 1, features)
        or (number and layer.kind != "bilinear")
    ):
        raise _unknown(path, f"{layer.text} depends on the order of its features")


def _unknown(path: str, why: str) -> LayerError:
    name = f"'{path}'" if path else "the net"
    return LayerError(
        f"the order of the features that come to {name} cannot be found in PyTorch's "
        f"net: {why}. Features of an image are joined by nn.flatten (or reshape) right "
        "before a layer such as nn.linear; images are joined by nn.branch, with a "
        "merge. Or put them into PyTorch's order, (channel, height, width): "
        "nn.transpose((0, 3, 1, 2)), then nn.flatten()",
        path=path,
    )


def _is_plain(order: Codes) -> bool:
    return bool((order == np.arange(len(order))).all())


def _is_merge(x: PyTree, y: PyTree) -> bool:
    """Whether several images became one, as in the merge of a branch."""
    if not isinstance(x, (list, tuple)) or len(x) < 2 or not hasattr(y, "ndim"):
        return False
    shapes = [getattr(entry, "shape", ()) for entry in (*x, y)]
    return len(shapes[0]) > 2 and len({shape[:-1] for shape in shapes}) == 1


def _places(shape: tuple[int, ...], image: bool) -> Codes:
    """Each value's place in PyTorch's order, for one example."""
    if not image:
        return np.arange(int(np.prod(shape))).reshape(shape)
    places = np.arange(int(np.prod(shape))).reshape(shape[-1], *shape[:-1])
    return np.moveaxis(places, 0, -1)


def _channels_first(x: Codes) -> Codes:
    """An image as (batch, channels, positions)."""
    return np.moveaxis(x, -1, 1).reshape(len(x), x.shape[-1], -1)


def _chosen(condition: Any, x: PyTree, y: PyTree) -> PyTree:
    """One of two, by a bool or by a traced one."""
    if isinstance(condition, (bool, np.bool_)):
        return x if condition else y
    return jnp.where(condition, x, y)
