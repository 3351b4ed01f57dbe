"""Pooling layers of stax."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from lenetjax.core import LayerError
from lenetjax.interop.stax.pair import Pair, Shape, refuse_empty, refuse_rank


def MaxPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    spec: str | None = None,
) -> Pair:
    """Takes the largest number in each window.

    Args:
      window_shape: the window's size on each spatial axis.
      strides: how far windows are apart on each spatial axis; 1 when None, so that
        windows overlap.
      padding: "VALID" or "SAME".
      spec: the letters of the axes, such as "NCHW", where "N" and "C" say which are the
        batch and the channels; when None they are the first and the last.

    Returns:
      (init_fun, apply_fun), without params.

    Raises:
      LayerError: the sizes do not fit each other, or, later, the input.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.MaxPool((2, 2), strides=(2, 2))
      >>> init_fun(jax.random.key(0), (8, 28, 28, 6))
      ((8, 14, 14, 6), ())

    Follows `jax.example_libraries.stax.MaxPool`.
    """
    return _pooling("MaxPool", lax.max, -jnp.inf, window_shape, strides, padding, spec)


def SumPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    spec: str | None = None,
) -> Pair:
    """Adds the numbers in each window.

    Args:
      window_shape, strides, padding, spec: as in `MaxPool`.

    Returns:
      (init_fun, apply_fun), without params.

    Raises:
      LayerError: the sizes do not fit each other, or, later, the input.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.SumPool((2, 2))
      >>> float(apply_fun((), jnp.ones((1, 2, 2, 1)))[0, 0, 0, 0])
      4.0

    Follows `jax.example_libraries.stax.SumPool`.
    """
    return _pooling("SumPool", lax.add, 0.0, window_shape, strides, padding, spec)


def AvgPool(
    window_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str = "VALID",
    spec: str | None = None,
) -> Pair:
    """Takes the mean of the numbers in each window; padding does not count.

    Args:
      window_shape, strides, padding, spec: as in `MaxPool`.

    Returns:
      (init_fun, apply_fun), without params.

    Raises:
      LayerError: the sizes do not fit each other, or, later, the input.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.AvgPool((2, 2), padding="SAME")
      >>> float(apply_fun((), jnp.ones((1, 2, 2, 1))).min())
      1.0

    Follows `jax.example_libraries.stax.AvgPool`.
    """
    init_fun, add = _pooling(
        "AvgPool", lax.add, 0.0, window_shape, strides, padding, spec
    )

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        layout = _layout(len(window_shape), spec)
        sides = [
            1 if letter in "NC" else side
            for letter, side in zip(layout, inputs.shape, strict=True)
        ]
        return add((), inputs) / add((), jnp.ones(sides, inputs.dtype))

    return init_fun, apply_fun


def _pooling(
    name: str,
    reducer: Callable[[Any, Any], Any],
    start: float,
    window_shape: Sequence[int],
    strides: Sequence[int] | None,
    padding: str,
    spec: str | None,
) -> Pair:
    rank = len(window_shape)
    layout = _layout(rank, spec)
    strides = (1,) * rank if strides is None else strides
    if len(strides) != rank or len(layout) != rank + 2 or not {"N", "C"} <= set(layout):
        raise LayerError(
            f"{name}: expected a stride for each of the {rank} axes of the window "
            f"{tuple(window_shape)}, and a spec with N, C and {rank} letters more, got "
            f"strides={tuple(strides)} and spec={spec!r}"
        )
    if not isinstance(padding, str) or padding.upper() not in ("SAME", "VALID"):
        raise LayerError(f"{name}: padding must be SAME or VALID, got {padding!r}")
    window, steps = (_for_all_axes(layout, each) for each in (window_shape, strides))

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        refuse_rank(name, layout, input_shape)
        padded = lax.padtype_to_pads(input_shape, window, steps, padding)
        ones = (1,) * len(window)
        shape = lax.reduce_window_shape_tuple(
            input_shape, window, steps, padded, ones, ones
        )
        refuse_empty(name, layout, shape, input_shape)
        return shape, ()

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        refuse_rank(name, layout, inputs.shape)
        return lax.reduce_window(inputs, start, reducer, window, steps, padding)

    return init_fun, apply_fun


def _layout(rank: int, spec: str | None) -> str:
    return f"N{'DHW'[-rank:] if rank <= 3 else '?' * rank}C" if spec is None else spec


def _for_all_axes(layout: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """One size for each axis: those of the spatial axes, and 1 elsewhere."""
    spatial = iter(sizes)
    return tuple(1 if letter in "NC" else next(spatial) for letter in layout)
