"""Stand-ins for layers, which make codes in the place of outputs.

`feature_order` runs a net on them and says what for.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax import layers
from lenetjax.core import Call, Layer, PyTree, State

Codes = np.ndarray[Any, Any]

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

    def images_matter(self) -> bool:
        """Whether images say anything: they are looked at for vectors in them."""
        return self.image == self.sequence == "still"

    def of_unknown_layout(self, shape: tuple[int, ...]) -> jax.Array:
        """Codes of channels alone: flattened, they are in no order."""
        channels = self.values((1, 1, shape[-1]), image=True)
        return jnp.asarray(np.broadcast_to(channels, shape))

    def stand_in(
        self, layer: Layer, state: State, x: PyTree, call: Call
    ) -> tuple[PyTree, State]:
        """Runs in place of a layer; notes down in its state what it was given."""
        if kind_of(layer) == "prelu" and layer.settings["num_parameters"] == 1:
            return x, state
        y = self._output(layer, x, call)
        seen = _seen(layer, x)
        if not self.images_matter():  # they are large
            seen = {what: x for what, x in seen.items() if not what.startswith("image")}
        if not seen:
            return y, state
        return y, {**state, f"#{len(state)}": seen}

    def _output(self, layer: Layer, x: PyTree, call: Call) -> PyTree:
        kind = kind_of(layer)
        if kind in MAKES_IMAGES | MAKES_FEATURES:
            image = kind in MAKES_IMAGES
            y = jax.tree.map(
                lambda spec: self.values(spec.shape, image), layer.plan(x).y
            )
            if kind in ANY_LAYOUT and y.ndim > 2:
                return _chosen(self._of_images(x), self.of_unknown_layout(y.shape), y)
            return y
        if kind in KEEPS_IMAGES:
            if x.ndim < 3 or self.image == "still":
                return x
            return _chosen(self._of_images(x), x, self.of_unknown_layout(x.shape))
        if kind in KEEPS_FEATURES:
            if x.ndim < 3 or layer.settings.get("axes") == x.ndim - 1:
                return x
            return _chosen(self._of_images(x), self.of_unknown_layout(x.shape), x)
        y, _ = layer.run_call({}, {}, x, replace(call, stand_in=None))
        if _is_merge(x, y):
            return _chosen(self._of_images(x), self.values(y.shape, image=True), y)
        return y

    def _of_images(self, x: PyTree) -> Any:
        """Whether codes of images have come this far, in all arrays."""
        if self.image == "still":
            return False
        leaves = jax.tree.leaves(x)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):  # in a repeat
            return jnp.all(jnp.stack([jnp.ptp(leaf) > NEAR for leaf in leaves]))
        return all(np.ptp(np.asarray(leaf)) > NEAR for leaf in leaves)


def kind_of(layer: Layer) -> str:
    """The kind of a layer of this library; "" for others, whatever they are called.

    A user's own layer, or a function such as `jax.numpy.pad`, may have the name of one.
    """
    if layer.kind not in layers.__all__:
        return ""
    settings = set(inspect.signature(getattr(layers, layer.kind)).parameters)
    ours = set(layer.settings) == settings - {"weight_init", "bias_init"}
    return layer.kind if ours else ""


def _seen(layer: Layer, x: PyTree) -> dict[str, jax.Array]:
    """What a layer is given, with how many axes an image or the features have."""
    kind, leaves = kind_of(layer), jax.tree.leaves(x)
    arrays = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if kind in MAKES_IMAGES | KEEPS_IMAGES and arrays[0].ndim > 2:
        return {f"image:{arrays[0].ndim}": arrays[0]}
    if kind in MAKES_FEATURES | KEEPS_FEATURES | KEEPS_IMAGES:
        if isinstance(x, Mapping):  # the main input first
            main = [x[name] for name in ("x", "query") if name in x]
            arrays = [*main, *(a for a in arrays if all(a is not m for m in main))]
        axes = layer.settings.get("axes", 1)
        return {f"{i}:{axes}": array for i, array in enumerate(arrays)}
    return {}


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


def _chosen(condition: Any, x: PyTree, y: PyTree) -> PyTree:
    """One of two, by a bool or by a traced one."""
    if isinstance(condition, (bool, np.bool_)):
        return x if condition else y
    return jnp.where(condition, x, y)
