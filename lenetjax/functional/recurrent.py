"""Recurrent cells as array functions: one step in time each.

A cell sees its input and what it carried over through one affine map each, which make
`gates` vectors of hidden size. What differs from kind to kind is how those become the
next carry; `Cell` holds that, for `recurrence.py` to repeat over time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.functional.arguments import at_least_float32, check_floating
from lenetjax.functional.linear import linear
from lenetjax.specs import shapes_text

Carry = tuple[jax.Array, ...]  # the hidden state first; it is the output too
OneStep = Callable[[jax.Array, jax.Array, Carry], Carry]
Bias = jax.Array | None


@dataclass(frozen=True)
class Cell:
    """A kind of recurrence: (gates of the input, gates of the carry, carry) -> carry.

    `carry` names the arrays that are carried over.
    """

    gates: int
    carry: tuple[str, ...]
    step: OneStep


@jax.named_scope("rnn_cell")
def rnn_cell(
    x: jax.Array,
    hidden: jax.Array,
    input_weight: jax.Array,
    hidden_weight: jax.Array,
    input_bias: Bias = None,
    hidden_bias: Bias = None,
    *,
    nonlinearity: str = "tanh",
) -> jax.Array:
    """Computes ``tanh(x @ input_weight + hidden @ hidden_weight + biases)``.

    Args:
      x: (..., in), floating.
      hidden: (..., features), what the last step returned.
      input_weight, hidden_weight: (in, features) and (features, features).
      input_bias, hidden_bias: (features,) each, or None.
      nonlinearity: "tanh" or "relu".

    Returns:
      The next hidden state, (..., features), in the dtype that all promote to.

    Raises:
      LayerError: shapes or dtypes do not fit, or the nonlinearity is unknown.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x, hidden, weight = jnp.ones((2, 3)), jnp.zeros((2, 4)), jnp.ones((4, 4))
      >>> nn.functional.rnn_cell(x, hidden, jnp.ones((3, 4)), weight).shape
      (2, 4)

    Reference: Elman, "Finding Structure in Time", 1990. Follows `torch.nn.RNNCell`,
    with the weights transposed.
    """
    return _step_once(
        rnn_kind(nonlinearity),
        x,
        (hidden,),
        (input_weight, hidden_weight, input_bias, hidden_bias),
    )[0]


@jax.named_scope("lstm_cell")
def lstm_cell(
    x: jax.Array,
    carry: tuple[jax.Array, jax.Array],
    input_weight: jax.Array,
    hidden_weight: jax.Array,
    input_bias: Bias = None,
    hidden_bias: Bias = None,
) -> tuple[jax.Array, jax.Array]:
    """Computes one step of long short-term memory.

    ``cell = sigmoid(f) * cell + sigmoid(i) * tanh(g)`` and
    ``hidden = sigmoid(o) * tanh(cell)``, where i, f, g, o are the four parts, in this
    order, of ``x @ input_weight + hidden @ hidden_weight + biases``.

    Args:
      x: (..., in), floating.
      carry: what the last step returned.
      input_weight, hidden_weight: (in, 4 * features) and (features, 4 * features).
      input_bias, hidden_bias: (4 * features,) each, or None.

    Returns:
      hidden and cell, (..., features) each, in the dtype that all promote to.

    Raises:
      LayerError: shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x, carry = jnp.ones((2, 3)), (jnp.zeros((2, 4)), jnp.zeros((2, 4)))
      >>> weights = jnp.ones((3, 16)), jnp.ones((4, 16))
      >>> hidden, cell = nn.functional.lstm_cell(x, carry, *weights)
      >>> hidden.shape, cell.shape
      ((2, 4), (2, 4))

    Reference: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997. Follows
    `torch.nn.LSTMCell`, with the weights transposed.
    """
    hidden, cell = _step_once(
        LSTM, x, carry, (input_weight, hidden_weight, input_bias, hidden_bias)
    )
    return hidden, cell


@jax.named_scope("gru_cell")
def gru_cell(
    x: jax.Array,
    hidden: jax.Array,
    input_weight: jax.Array,
    hidden_weight: jax.Array,
    input_bias: Bias = None,
    hidden_bias: Bias = None,
) -> jax.Array:
    """Computes one step of a gated recurrent unit.

    ``z * hidden + (1 - z) * tanh(n_x + r * n_h)`` with ``r = sigmoid(r_x + r_h)`` and
    ``z = sigmoid(z_x + z_h)``, where r, z, n are the three parts, in this order, of
    ``x @ input_weight + input_bias`` and of ``hidden @ hidden_weight + hidden_bias``.

    Args:
      x: (..., in), floating.
      hidden: (..., features), what the last step returned.
      input_weight, hidden_weight: (in, 3 * features) and (features, 3 * features).
      input_bias, hidden_bias: (3 * features,) each, or None.

    Returns:
      The next hidden state, (..., features), in the dtype that all promote to.

    Raises:
      LayerError: shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x, hidden, weight = jnp.ones((2, 3)), jnp.zeros((2, 4)), jnp.ones((4, 12))
      >>> nn.functional.gru_cell(x, hidden, jnp.ones((3, 12)), weight).shape
      (2, 4)

    Reference: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder",
    2014; r scales ``hidden @ hidden_weight`` instead of hidden, which is PyTorch's way.
    Follows `torch.nn.GRUCell`, with the weights transposed.
    """
    return _step_once(
        GRU, x, (hidden,), (input_weight, hidden_weight, input_bias, hidden_bias)
    )[0]


def rnn_kind(nonlinearity: str) -> Cell:
    """The cell of a plain recurrent network.

    Raises:
      LayerError: the nonlinearity is neither "tanh" nor "relu".
    """
    if not isinstance(nonlinearity, str) or nonlinearity not in RNN:
        raise LayerError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    return RNN[nonlinearity]


def advance(
    cell: Cell,
    input_gates: jax.Array,
    carry: Carry,
    hidden_weight: jax.Array,
    hidden_bias: Bias,
) -> Carry:
    """Takes one step; the carry is in at least float32, and so is the next one."""
    hidden_gates = linear(
        carry[0].astype(hidden_weight.dtype), hidden_weight, hidden_bias
    )
    return cell.step(
        at_least_float32(input_gates), at_least_float32(hidden_gates), carry
    )


def one_dtype(arrays: Any) -> Any:
    """Converts a tree of arrays to the one dtype that holds them all."""
    dtype = jnp.result_type(*jax.tree.leaves(arrays))
    return jax.tree.map(lambda array: array.astype(dtype), arrays)


def _rnn_step(activation: Callable[[jax.Array], jax.Array]) -> OneStep:
    return lambda x, h, carry: (activation(x + h),)


def _lstm_step(x: jax.Array, h: jax.Array, carry: Carry) -> Carry:
    i, f, g, o = jnp.split(x + h, 4, axis=-1)
    cell = jax.nn.sigmoid(f) * carry[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(cell), cell


def _gru_step(x: jax.Array, h: jax.Array, carry: Carry) -> Carry:
    (r_x, z_x, n_x), (r_h, z_h, n_h) = (
        jnp.split(gates, 3, axis=-1) for gates in (x, h)
    )
    z = jax.nn.sigmoid(z_x + z_h)
    new = jnp.tanh(n_x + jax.nn.sigmoid(r_x + r_h) * n_h)
    return (z * carry[0] + (1 - z) * new,)


RNN = {
    "tanh": Cell(1, ("hidden",), _rnn_step(jnp.tanh)),
    "relu": Cell(1, ("hidden",), _rnn_step(jax.nn.relu)),
}
LSTM = Cell(4, ("hidden", "cell"), _lstm_step)
GRU = Cell(3, ("hidden",), _gru_step)


def _step_once(
    cell: Cell, x: jax.Array, carry: Any, weights: tuple[Any, Any, Bias, Bias]
) -> Carry:
    _check_shapes(cell, x, carry, weights)
    x, carry, weights = one_dtype((x, tuple(carry), weights))
    input_weight, hidden_weight, input_bias, hidden_bias = weights
    wide = tuple(map(at_least_float32, carry))
    gates = linear(x, input_weight, input_bias)
    new = advance(cell, gates, wide, hidden_weight, hidden_bias)
    return tuple(part.astype(x.dtype) for part in new)


def _check_shapes(
    cell: Cell, x: jax.Array, carry: Any, weights: tuple[Any, Any, Bias, Bias]
) -> None:
    if not isinstance(carry, (tuple, list)) or len(carry) != len(cell.carry):
        raise LayerError(
            f"expected a carry ({', '.join(cell.carry)}), got {shapes_text(carry)}"
        )
    for array in (x, *carry, *weights):
        if array is not None:
            check_floating(array)
    features = weights[1].shape[0] if weights[1].ndim else 0
    made = cell.gates * features
    shapes = [weight.shape for weight in weights if weight is not None]
    wanted = [(*x.shape[-1:], made), (features, made), (made,), (made,)]
    if (
        shapes != wanted[: len(shapes)]
        or x.ndim == 0
        or any(part.shape != (*x.shape[:-1], features) for part in carry)
    ):
        times = f"{cell.gates} * " if cell.gates > 1 else ""
        raise LayerError(
            f"expected x (..., in), {' and '.join(cell.carry)} (..., features), "
            f"input_weight (in, {times}features), "
            f"hidden_weight (features, {times}features) and biases "
            f"({times}features,), got {shapes_text(x)}, {shapes_text(carry)} and "
            f"{shapes_text([w for w in weights if w is not None])}"
        )
