"""The loss around trained params, along two random directions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.checks import check_key, check_tree
from lenetjax.core import LayerError, Params
from lenetjax.functional.arguments import is_int, is_number
from lenetjax.specs import shapes_text


class Landscape(NamedTuple):
    """Losses on a grid: ``losses[i, j]`` is at ``alphas[j]`` and ``betas[i]``."""

    alphas: jax.Array
    betas: jax.Array
    losses: jax.Array


def loss_landscape(
    loss: Callable[[Any], jax.Array],
    params: Params,
    key: jax.Array,
    *,
    extent: float = 1.0,
    points: int = 21,
) -> Landscape:
    """Computes the loss of ``params + alpha * direction1 + beta * direction2``.

    The directions are those of `random_direction`. All losses are computed in one
    compiled program, one after the other, so it takes no more memory than one.

    Args:
      loss: ``loss(params) -> scalar``, compilable.
      params: what `init` or `fit` returned: the middle of the grid.
      key: a `jax.random.key`, which draws the directions.
      extent: how far alpha and beta go to either side; at 1 each filter is changed by
        as much as its own length.
      points: how many values alpha has, and beta, an odd number of at least 3.

    Returns:
      alphas (points,) and betas (points,), from -extent to extent, and the losses
      (points, points): those of a row have one beta, and the middle is the loss of
      params themselves. ``figures.landscape(*...)`` draws it.

    Raises:
      LayerError: the loss is no scalar, params are no nested dicts of arrays or none of
        them is a weight, the key is none, or extent or points are not as said.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = {"weight": jnp.ones((3, 2))}
      >>> found = nn.inspection.loss_landscape(
      ...     lambda params: (params["weight"] ** 2).sum(), params, jax.random.key(0))
      >>> found.losses.shape, float(found.losses[10, 10])
      ((21, 21), 6.0)

    Reference: Li et al., "Visualizing the Loss Landscape of Neural Nets", 2018.
    """
    if not is_number(extent) or not 0 < extent < float("inf"):
        raise LayerError(f"extent must be a positive number, got {extent!r}")
    if not is_int(points) or points < 3 or points % 2 == 0:
        raise LayerError(
            "points must be an odd int of at least 3, so that one is in the middle, "
            f"got {points!r}"
        )
    check_key(key)
    check_tree("params", params)
    params = jax.tree.map(jnp.asarray, params)
    value = jax.eval_shape(loss, params)
    if getattr(value, "shape", None) != ():
        raise LayerError(f"loss must return a scalar, got {shapes_text(value)}")
    middle = points // 2
    steps = jnp.arange(-middle, middle + 1) * (extent / middle)  # exactly 0 there

    def loss_at(place: tuple[jax.Array, jax.Array], *trees: Params) -> jax.Array:
        def move(array: Any, along: Any, across: Any) -> Any:
            alpha, beta = (step.astype(array.dtype) for step in place)
            return array + alpha * along + beta * across

        return loss(jax.tree.map(move, *trees))

    @jax.jit
    def surface(params: Params, key: jax.Array) -> Any:
        first, second = (random_direction(params, k) for k in jax.random.split(key))
        alphas, betas = jnp.meshgrid(steps, steps)
        places = alphas.ravel(), betas.ravel()
        losses = jax.lax.map(lambda at: loss_at(at, params, first, second), places)
        return losses.reshape(points, points)

    return Landscape(steps, steps, surface(params, key))


def random_direction(params: Params, key: jax.Array) -> Params:
    """Draws a direction to move params in, whose filters are as long as theirs.

    Each weight gets normal values, scaled filter by filter: all that leads to one place
    on a weight's last axis is a filter, of a convolution or of a neuron. Arrays of one
    axis or none (biases, scales) and arrays of ints get zeros: they stay where they
    are, as in the paper.

    Args:
      params: what `init` or `fit` returned.
      key: a `jax.random.key`.

    Returns:
      Nested dicts like params.

    Raises:
      LayerError: params are no nested dicts of arrays or have no weights, or the key is
        none.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = {"weight": jnp.full((4, 1), 3.0), "bias": jnp.ones(1)}
      >>> direction = nn.inspection.random_direction(params, jax.random.key(0))
      >>> round(float(jnp.linalg.norm(direction["weight"])), 3)
      6.0
      >>> direction["bias"]
      Array([0.], dtype=float32)

    Reference: Li et al., "Visualizing the Loss Landscape of Neural Nets", 2018, 4.
    """
    check_key(key)
    check_tree("params", params)
    arrays, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, params))
    if not any(map(_is_weight, arrays)):
        raise LayerError(
            "params must have a weight, a floating array of two axes or more, got "
            f"{shapes_text(params) or 'none'}"
        )
    weights = [array for array in arrays if _is_weight(array)]
    ends = np.cumsum([weight.size for weight in weights])
    # All in one, as XLA compiles each drawing apart, and takes long for it.
    values = jax.random.normal(key, (int(ends[-1]),), jnp.result_type(*weights))
    pieces = iter(jnp.split(values, ends[:-1].tolist()))
    drawn = [
        _like_filters(array, next(pieces))
        if _is_weight(array)
        else jnp.zeros_like(array)
        for array in arrays
    ]
    direction: Params = jax.tree.unflatten(structure, drawn)
    return direction


def _is_weight(array: jax.Array) -> bool:
    return array.ndim >= 2 and jnp.issubdtype(array.dtype, jnp.floating)


def _like_filters(weight: jax.Array, values: jax.Array) -> jax.Array:
    """Values in the weight's shape, each filter as long as the weight's."""
    values = values.reshape(weight.shape).astype(weight.dtype)
    return values * (_lengths(weight) / _lengths(values))


def _lengths(weight: jax.Array) -> jax.Array:
    axes = tuple(range(weight.ndim - 1))
    return jnp.sqrt(jnp.sum(jnp.square(weight), axes, keepdims=True))
