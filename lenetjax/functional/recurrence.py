"""Recurrent cells repeated over time, in stacked layers and in both directions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from lenetjax.core import LayerError, Params
from lenetjax.functional.arguments import (
    ArrayLike,
    at_least_float32,
    check_floating,
)
from lenetjax.functional.linear import linear
from lenetjax.functional.recurrent import (
    Carry,
    Cell,
    advance,
    one_dtype,
)
from lenetjax.specs import shapes_text

Between = Callable[[int, jax.Array], jax.Array]  # from layer i to the next one
ENTRIES = ("x", "lengths", "carry")


@dataclass(frozen=True)
class Stack:
    """Which cells stand above each other: `layers` of them in each direction."""

    cell: Cell
    features: int
    layers: int
    directions: tuple[str, ...]


@dataclass(frozen=True)
class Sequences:
    """A checked input: arrays, or what stands for them."""

    x: Any
    lengths: Any = None
    carry: tuple[Any, ...] | None = None


def sequences(stack: Stack, given: Any) -> Sequences:
    """Takes an input apart: an array, or a dict with lengths and an initial carry.

    Raises:
      LayerError: an entry is unknown or missing, or shapes or dtypes do not fit.
    """
    entries = given if isinstance(given, dict) else {"x": given}
    unknown = [str(name) for name in entries if name not in ENTRIES]
    if unknown or "x" not in entries:
        raise LayerError(
            "expected an array, or a dict with an 'x' and perhaps 'lengths' and "
            f"'carry', got the entries {', '.join(map(str, entries)) or 'none'}"
        )
    x, lengths, carry = entries["x"], entries.get("lengths"), entries.get("carry")
    _check_x(x)
    if lengths is not None:
        _check_lengths(lengths, x)
    if carry is not None and len(stack.cell.carry) == 1:
        carry = (carry,)
    if carry is not None:
        _check_carry(stack, carry, x)
    return Sequences(x, lengths, carry)


def recur(
    stack: Stack, params: Params, inputs: Sequences, between: Between
) -> tuple[jax.Array, Carry]:
    """Runs all layers over time; returns the last one's outputs, and all carries.

    Params and arrays are brought to one dtype. What is carried over is kept in at
    least float32 on the way, so that half precision does not add up its roundings.
    """
    x, carry, params = one_dtype((inputs.x, inputs.carry, params))
    x = jnp.swapaxes(x, 0, 1)  # time first, as the scan goes
    time, batch, _ = x.shape
    valid = None
    if inputs.lengths is not None:
        valid = _valid_steps(inputs.lengths, time)
        x = jnp.where(valid, x, 0)

    if carry is None:
        zeros = jnp.zeros(_carry_shape(stack, batch), x.dtype)
        carry = (zeros,) * len(stack.cell.carry)
    carry = tuple(map(at_least_float32, carry))

    ends: list[Carry] = []
    for i in range(stack.layers):
        if i:
            x = between(i - 1, x)
        outputs = []
        for direction in stack.directions:
            start = tuple(part[len(ends)] for part in carry)
            weights = params[f"layer{i}"][direction]
            backward = direction == "backward"
            y, end = _over_time(stack.cell, weights, x, start, valid, backward)
            outputs.append(y)
            ends.append(end)
        x = jnp.concatenate(outputs, axis=-1)

    end = tuple(jnp.stack(parts).astype(x.dtype) for parts in zip(*ends, strict=True))
    if inputs.lengths is not None:
        x, end = _nan_where_wrong(inputs.lengths, time, (x, end))
    return jnp.swapaxes(x, 0, 1), end


def _carry_shape(stack: Stack, batch: int) -> tuple[int, int, int]:
    return (stack.layers * len(stack.directions), batch, stack.features)


def _over_time(
    cell: Cell,
    weights: Params,
    x: jax.Array,
    start: Carry,
    valid: jax.Array | None,
    backward: bool,
) -> tuple[jax.Array, Carry]:
    """Runs one cell over (time, batch, in), first step to last or last to first."""
    hidden_weight, hidden_bias = weights["hidden_weight"], weights.get("hidden_bias")
    # One product for all steps; only the carry's has to wait for its turn.
    gates = linear(x, weights["input_weight"], weights.get("input_bias"))

    def step(carry: Carry, now: Any) -> tuple[Carry, jax.Array]:
        gates, valid = now
        # Steps past the end compute with zeros, so that their gradients stay finite.
        new = advance(cell, gates, _where(valid, carry), hidden_weight, hidden_bias)
        output = _where(valid, new[:1])[0].astype(x.dtype)
        return _where(valid, new, carry), output

    end, outputs = lax.scan(step, start, (gates, valid), reverse=backward)
    return outputs, end


def _where(valid: jax.Array | None, carry: Carry, other: Carry | None = None) -> Carry:
    """Takes what is valid from one carry, and the rest from another, or zeros."""
    if valid is None:
        return carry
    if other is None:
        other = tuple(map(jnp.zeros_like, carry))
    return tuple(jnp.where(valid, *pair) for pair in zip(carry, other, strict=True))


def _valid_steps(lengths: jax.Array, time: int) -> jax.Array:
    """Which steps lie within each example, (time, batch, 1)."""
    if not isinstance(lengths, jax.core.Tracer):
        values = np.asarray(lengths)
        if not ((values >= 1) & (values <= time)).all():
            raise LayerError(
                f"lengths must be from 1 to {time}, the size of the time axis, "
                f"got {values.tolist()}"
            )
    steps = jnp.arange(time)[:, None, None]
    return steps < lengths[None, :, None]


def _nan_where_wrong(lengths: jax.Array, time: int, outputs: Any) -> Any:
    """Turns the examples, along the second axis, whose length cannot be into NaN."""
    right = (lengths >= np.int32(1)) & (lengths <= np.int32(time))
    right = right[None, :, None]
    return jax.tree.map(lambda y: jnp.where(right, y, jnp.nan), outputs)


def _check_x(x: ArrayLike) -> None:
    shape = getattr(x, "shape", None)
    if shape is None or len(shape) != 3:
        hint = "; give a single example a batch axis: x[None]"
        raise LayerError(
            f"expected 3 axes, (batch, time, in), got {shapes_text(x)}"
            + (hint if shape is not None and len(shape) == 2 else "")
        )
    if shape[1] == 0:
        raise LayerError(f"expected at least one step in time, got {shapes_text(x)}")
    check_floating(x)


def _check_lengths(lengths: ArrayLike, x: ArrayLike) -> None:
    if (
        not hasattr(lengths, "dtype")
        or not jnp.issubdtype(lengths.dtype, jnp.integer)
        or lengths.shape != x.shape[:1]
    ):
        raise LayerError(
            f"expected lengths (batch,) of integers for x {shapes_text(x)}, "
            f"got {shapes_text(lengths)}"
        )


def _check_carry(stack: Stack, carry: Any, x: ArrayLike) -> None:
    wanted = _carry_shape(stack, x.shape[0])
    names = stack.cell.carry
    if (
        not isinstance(carry, (tuple, list))
        or len(carry) != len(names)
        or any(getattr(part, "shape", None) != wanted for part in carry)
    ):
        one = "an array" if len(names) == 1 else f"a pair ({', '.join(names)}), each"
        raise LayerError(
            f"expected a carry, {one} (layers * directions, batch, features) = "
            f"{wanted}, got {shapes_text(carry[0] if len(names) == 1 else carry)}"
        )
    for part in carry:
        check_floating(part)
