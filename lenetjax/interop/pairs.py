"""Layers of stax as layers of lenetjax, and the other way."""

from typing import Any

import jax
import jax.numpy as jnp

from lenetjax.core import Layer, LayerError, Params, PyTree, layer, names_of
from lenetjax.interop.naming import form_of, from_dicts, to_dicts
from lenetjax.interop.stax.pair import Pair, Shape

BATCHES = (2, 3)  # two sizes, to see which axes of an output follow the batch


def from_stax(pair: Pair, evaluation: Pair | None = None) -> Layer:
    """Makes a layer of stax's ``(init_fun, apply_fun)``.

    Stax decides between training and evaluation when a net is made, so a net with
    dropout is given twice: as made for training, and as made for evaluation. Without
    `evaluation`, the pair is taken for deterministic, and gets no random key.

    Params are nested dicts that name stax's by number: ``[(W, b), ()]`` is
    ``{"0": {"0": W, "1": b}}``. `to_dicts` turns params of stax into these, and
    `from_dicts` back.

    Args:
      pair: (init_fun, apply_fun), of `jax.example_libraries.stax`, of
        `lenetjax.interop.stax` or your own.
      evaluation: the same net with ``mode="test"`` for its dropout.

    Input, output: whatever the net takes and gives; a list of arrays too.
    Params: as init_fun makes them for this shape, by number.

    Raises:
      LayerError: something is no pair; later, the pair refuses its input.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> from lenetjax.interop import stax
      >>> net = nn.interop.from_stax(stax.serial(stax.Dense(4), stax.Relu))
      >>> params = net.init(jax.random.key(0), jnp.zeros((8, 3)))
      >>> jax.tree.map(jnp.shape, params)
      {'0': {'0': (3, 4), '1': (4,)}}
      >>> net.apply(params, jnp.zeros((8, 3))).shape
      (8, 4)
    """
    for each in (pair, evaluation or pair):
        if not (isinstance(each, (tuple, list)) and all(map(callable, each))):
            raise LayerError(
                f"expected a pair (init_fun, apply_fun), got {type(each).__name__}"
            )
    init_fun, apply_fun = pair
    _, evaluate = evaluation or pair

    def made(key: jax.Array, x: PyTree) -> PyTree:
        _, params = init_fun(key, jax.tree.map(jnp.shape, x))
        return params

    form = form_of(made)

    def init(key: jax.Array, x: PyTree) -> Params:
        return to_dicts(made(key, x))

    def apply(params: Params, x: PyTree) -> PyTree:
        return apply_fun(from_dicts(params, form(x)), x)

    def apply_randomly(params: Params, x: PyTree, *, key: Any, train: bool) -> PyTree:
        # Stax's own dropout asks for a key in evaluation too, and does not use it.
        rng = key if train else jax.random.key(0)
        chosen = apply_fun if train else evaluate
        return chosen(from_dicts(params, form(x)), x, rng=rng)

    return layer("from_stax", init, apply if evaluation is None else apply_randomly)


def to_stax(net: Layer, *, train: bool = True, dtype: Any = jnp.float32) -> Pair:
    """Makes stax's ``(init_fun, apply_fun)`` of a layer.

    ``init_fun(rng, input_shape)`` returns ``(output_shape, params)``, and
    ``apply_fun(params, inputs, rng=None)`` the output. The params are the layer's own
    nested dicts, which may stand among stax's tuples. A batch of -1 in the input shape
    is one in the output shape.

    Args:
      net: any layer without state.
      train: whether the pair behaves as in training; stax decides when a net is made.
      dtype: of the inputs that the params are for, as stax's shapes tell none.

    Returns:
      (init_fun, apply_fun).

    Raises:
      LayerError: the net has state, for which stax has no place; later, what
        `Layer.init` and `Layer.apply` raise.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.serial(
      ...     nn.interop.to_stax(nn.linear(4)), stax.Relu, stax.Dense(2))
      >>> output_shape, params = init_fun(jax.random.key(0), (-1, 3))
      >>> apply_fun(params, jnp.ones((8, 3))).shape
      (8, 2)
    """
    if owners := names_of(net, lambda inner: "state" in inner.needs):
        raise LayerError(
            f"to_stax: this net has state, in {owners}, and a layer of stax has none. "
            "Give a net without it, such as one with nn.group_norm for nn.batch_norm."
        )

    def plan(input_shape: Shape, batch: int) -> Any:
        return net.plan(_specs(input_shape, batch, dtype))

    def init_fun(rng: jax.Array, input_shape: Shape) -> tuple[Shape, Params]:
        plans = [plan(input_shape, batch) for batch in BATCHES]
        params, _ = plans[0].init(rng)
        if plans[0].params != plans[1].params:
            raise LayerError(
                f"to_stax: {input_shape} leaves the batch open, and params depend on it"
            )
        return jax.tree.map(_common_shape, plans[0].y, plans[1].y), params

    def apply_fun(params: Params, inputs: Any, *, rng: Any = None, **_: Any) -> Any:
        return net.apply(params, inputs, key=rng, train=train)

    return init_fun, apply_fun


def _is_shape(thing: Any) -> bool:
    return isinstance(thing, tuple) and not any(
        isinstance(part, (tuple, list)) for part in thing
    )


def _specs(shape: Shape, batch: int, dtype: Any) -> PyTree:
    """Stands for inputs of a shape, or a list of them, with a size for each -1."""
    if not _is_shape(shape):
        return [_specs(part, batch, dtype) for part in shape]
    sides = tuple(batch if side == -1 else int(side) for side in shape)
    return jax.ShapeDtypeStruct(sides, dtype)


def _common_shape(one: Any, other: Any) -> Shape:
    """The shape that both have, with -1 where they differ."""
    sides = zip(one.shape, other.shape, strict=True)
    return tuple(a if a == b else -1 for a, b in sides)
