"""What many losses check of their arguments, and how they compute with them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import LayerError
from lenetjax.specs import shapes_text


def check_floats(loss: str, name: str, array: Any) -> None:
    """Refuses what is no array of floating-point numbers.

    Raises:
      LayerError: so it is.
    """
    if not hasattr(array, "dtype") or not jnp.issubdtype(array.dtype, jnp.floating):
        raise LayerError(
            f"{loss}: {name} must be an array of floating-point numbers, got "
            f"{shapes_text(array)}; convert it first: jnp.asarray({name}, jnp.float32)"
        )


def check_real(loss: str, name: str, array: Any) -> None:
    """Refuses what is no array of real numbers.

    Raises:
      LayerError: so it is.
    """
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    if not hasattr(array, "dtype") or not any(
        jnp.issubdtype(array.dtype, kind) for kind in kinds
    ):
        raise LayerError(
            f"{loss}: {name} must be an array of numbers, got {shapes_text(array)}"
        )


def check_shape(loss: str, name: str, array: Any, shape: tuple[int, ...]) -> None:
    """Refuses what is no array of real numbers of this shape.

    Raises:
      LayerError: so it is.
    """
    check_real(loss, name, array)
    if array.shape != shape:
        raise LayerError(
            f"{loss}: {name} must have the shape {shape}, got {shapes_text(array)}"
        )


def check_scores(loss: str, name: str, scores: Any) -> None:
    """Refuses what is no array of scores (..., classes).

    Raises:
      LayerError: so it is.
    """
    check_floats(loss, name, scores)
    if scores.ndim == 0 or scores.shape[-1] == 0:
        raise LayerError(
            f"{loss}: expected {name} (..., classes) with at least one class, got "
            f"{shapes_text(scores)}"
        )


def check_pair(loss: str, floats: dict[str, Any], **others: Any) -> None:
    """Refuses arrays that differ in shape; nothing is broadcast.

    Raises:
      LayerError: shapes differ, or those of `floats` are not floating.
    """
    for name, array in floats.items():
        check_floats(loss, name, array)
    for name, array in others.items():
        check_real(loss, name, array)
    arrays = floats | others
    if len({array.shape for array in arrays.values()}) > 1:
        *firsts, final = (f"{name} {shapes_text(a)}" for name, a in arrays.items())
        raise LayerError(f"{loss}: {', '.join(firsts)} and {final} must have one shape")


def result_dtype(*arrays: Any) -> jnp.dtype:
    """The dtype of the loss: the one that holds all its inputs."""
    return jnp.result_type(*map(jnp.asarray, arrays))


def widened(*arrays: Any) -> list[jax.Array]:
    """Converts arrays to the dtype to compute in: their own, and at least float32."""
    dtype = jnp.promote_types(result_dtype(*arrays), jnp.float32)
    return [jnp.asarray(array, dtype) for array in arrays]


def long_ints(array: Any) -> jax.Array:
    """Converts ints to at least 32 bits; in 8 the number of classes may wrap around."""
    array = jnp.asarray(array)
    return jnp.asarray(array, jnp.promote_types(array.dtype, jnp.int32))


def wrong_values(
    loss: str, name: str, array: Any, wrong: Callable[[Any], Any], expected: str
) -> jax.Array:
    """Refuses wrong values where they are known, or else says where they are.

    Raises:
      LayerError: the array is concrete and some value is wrong.
    """
    if not isinstance(array, jax.core.Tracer):
        values = np.asarray(array)
        bad = values[np.asarray(wrong(values))]
        if bad.size:
            raise LayerError(
                f"{loss}: {name} must be {expected}, got {bad.flat[0]} in "
                f"{shapes_text(array)}"
            )
    ints = jnp.issubdtype(array.dtype, jnp.integer)
    return jnp.asarray(wrong(long_ints(array) if ints else jnp.asarray(array)))


def absolute(x: jax.Array) -> jax.Array:
    """The absolute value, with gradient zero at zero, where JAX's has one."""
    return x * jnp.sign(x)


def no_sign(values: Any) -> Any:
    return (values != 1) & (values != -1)


def no_fraction(values: Any) -> Any:
    return (values < 0) | (values > 1)  # NaN is none of both, and stays NaN


def spoil(losses: jax.Array, wrong: jax.Array) -> jax.Array:
    """Makes losses NaN, and their gradients, where an input is wrong.

    A loss that is flat somewhere stops this gradient there: it spoils its inputs.
    """
    return losses * jnp.where(wrong, jnp.nan, 1).astype(losses.dtype)


def number(
    loss: str, name: str, value: float, *, least: float = -np.inf, over: bool = False
) -> float:
    """Passes on a real number of at least `least`, or `over` it.

    Raises:
      LayerError: it is something else.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.integer | np.floating)
        or not (value > least if over else value >= least)
    ):
        limit = f" {'over' if over else 'of at least'} {least:g}"
        raise LayerError(
            f"{loss}: {name} must be a number{limit if least > -np.inf else ''}, "
            f"got {value!r}"
        )
    return float(value)
