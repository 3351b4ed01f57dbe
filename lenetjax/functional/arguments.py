"""Checks and spellings of arguments that many array functions share."""

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.specs import shapes_text

PerAxis = int | Sequence[int]  # one number for all spatial axes, or one for each
Padding = int | str | Sequence[int | Sequence[int]]
ArrayLike = jax.Array | jax.ShapeDtypeStruct
Pads = tuple[tuple[int, int], ...]

AXES = ("width", "height, width", "depth, height, width")


def per_axis(
    name: str, value: PerAxis, rank: int, *, least: int = 1
) -> tuple[int, ...]:
    """Spells out a size, stride or dilation: one int of at least `least` per axis.

    Raises:
      LayerError: it is something else.
    """
    values: Any = (value,) * rank if is_int(value) else value
    if (
        not isinstance(values, Sequence)
        or len(values) != rank
        or not all(is_int(v) and v >= least for v in values)
    ):
        kind = "a positive int" if least == 1 else f"an int of at least {least}"
        several = f", or {rank} of them" if rank > 1 else ""
        raise LayerError(f"{name} must be {kind}{several}, got {value!r}")
    return tuple(int(v) for v in values)


def size(name: str, value: int) -> int:
    """Passes on a positive int.

    Raises:
      LayerError: it is something else.
    """
    return per_axis(name, value, 1)[0]


def fraction(name: str, value: float) -> float:
    """Passes on a number from 0 to 1.

    Raises:
      LayerError: it is something else.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise LayerError(f"{name} must be a number from 0 to 1, got {value!r}")
    return float(value)


def not_negative(name: str, value: float) -> float:
    """Passes on a finite number of at least 0.

    Raises:
      LayerError: it is something else.
    """
    if not is_number(value) or not 0 <= value < math.inf:
        raise LayerError(f"{name} must be a finite number, not negative, got {value!r}")
    return float(value)


def choice(name: str, value: str, options: Sequence[str]) -> str:
    """Passes on one of the words that an option knows.

    Raises:
      LayerError: it is something else.
    """
    if not isinstance(value, str) or value not in options:
        raise LayerError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return value


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_int(value: Any) -> TypeGuard[int]:
    return hasattr(value, "__index__") and not isinstance(value, bool | jax.Array)


def padding_spec(value: Padding, rank: int) -> Pads | str:
    """Spells out a padding: "SAME", "VALID", or (before, after) for each axis.

    Raises:
      LayerError: it is something else.
    """
    if isinstance(value, str) and value.upper() in ("SAME", "VALID"):
        return value.upper()
    if is_int(value) and value >= 0:
        return ((int(value), int(value)),) * rank
    if not isinstance(value, str) and isinstance(value, Sequence):
        pairs: list[Any] = [(v, v) if is_int(v) else v for v in value]
        if len(pairs) == rank and all(map(_is_pair, pairs)):
            return tuple((int(before), int(after)) for before, after in pairs)
    raise LayerError(
        "padding must be 'SAME', 'VALID', an int of at least 0, or for each of the "
        f"{rank} axes an int or a pair (before, after), got {value!r}"
    )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and len(value) == 2
        and all(is_int(v) and v >= 0 for v in value)
    )


def pads_of(
    padding: Pads | str,
    sizes: Sequence[int],
    window: Sequence[int],
    stride: Sequence[int],
) -> Pads:
    """The padding of each axis; "SAME" gives ceil(size / stride) outputs."""
    if isinstance(padding, tuple):
        return padding
    pads = []
    for n, w, s in zip(sizes, window, stride, strict=True):
        short = max(0, (math.ceil(n / s) - 1) * s + w - n) if padding == "SAME" else 0
        pads.append((short // 2, short - short // 2))
    return tuple(pads)


def check_images(x: ArrayLike, rank: int) -> None:
    """Refuses what is no batch of floating-point images with `rank` spatial axes.

    Raises:
      LayerError: the number of axes is wrong, or the dtype is not floating.
    """
    layout = f"(batch, {AXES[rank - 1]}, channels)"
    shape = getattr(x, "shape", None)
    if shape is None or len(shape) != rank + 2:
        message = f"expected {rank + 2} axes, {layout}, got {shapes_text(x)}"
        if shape is not None and len(shape) == rank + 1:
            message += "; give a single example a batch axis: x[None]"
        raise LayerError(message)
    check_floating(x)


def check_floating(x: ArrayLike) -> None:
    """Refuses arrays of integers, bools and the like.

    Raises:
      LayerError: the dtype is not floating.
    """
    if not hasattr(x, "dtype"):
        raise LayerError(f"expected an array, got {shapes_text(x)}")
    if not jnp.issubdtype(x.dtype, jnp.floating):
        hint = " / 255" if x.dtype == jnp.uint8 else ""
        raise LayerError(
            f"expected floating-point numbers, got {shapes_text(x)}; "
            f"convert them first: x.astype(jnp.float32){hint}"
        )


def check_window(
    sizes: Sequence[int], window: Sequence[int], pads: Pads, what: str
) -> None:
    """Refuses a window that is larger than the padded image.

    Raises:
      LayerError: along some axis the window does not fit once.
    """
    padded = tuple(n + sum(pad) for n, pad in zip(sizes, pads, strict=True))
    if any(w > n for w, n in zip(window, padded, strict=True)):
        raise LayerError(
            f"the {what} {_by(window)} is larger than the image {_by(sizes)}"
            + (f" with its padding, {_by(padded)}" if any(map(sum, pads)) else "")
            + "; use a larger image, more padding or a smaller window"
        )


def at_least_float32(x: jax.Array) -> jax.Array:
    """Converts half precision to float32, to compute in."""
    return jnp.asarray(x, jnp.promote_types(x.dtype, jnp.float32))


def same_dtype(*arrays: jax.Array | None) -> list[jax.Array | None]:
    """Converts arrays to the one dtype that holds them all (JAX's promotion)."""
    dtype = jnp.result_type(*(a for a in arrays if a is not None))
    return [None if a is None else a.astype(dtype) for a in arrays]


def _by(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))
