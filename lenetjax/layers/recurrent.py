"""Recurrent layers."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jax.nn.initializers import Initializer

from lenetjax import functional
from lenetjax.core import Layer, Params, PyTree, child_key, layer
from lenetjax.functional.arguments import fraction, size
from lenetjax.functional.recurrence import Stack, recur, sequences
from lenetjax.functional.recurrent import GRU, LSTM, Cell, rnn_kind
from lenetjax.layers.initial import uniform_fan_in

DIRECTIONS = ("forward", "backward")


def rnn(
    features: int,
    *,
    nonlinearity: str = "tanh",
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    dropout: float = 0.0,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Runs a plain recurrent network over time: each step sees the one before it.

    ``hidden = tanh(x @ input_weight + input_bias + hidden @ hidden_weight +
    hidden_bias)`` at each step, and the hidden states are the output. What is said
    here about inputs, outputs and params holds for `lstm` and `gru` too.

    Args:
      features: the size of the hidden state, in each direction.
      nonlinearity: "tanh" or "relu".
      layers: how many stand above each other, each reading the outputs of the one
        below.
      bidirectional: whether a second run goes from the last step to the first; its
        outputs stand after the first run's.
      bias: whether to add the two biases.
      dropout: the probability of zeroing, in training, each value that goes from one
        layer to the next; another draw at each step and layer. A single layer drops
        nothing and needs no key.
      weight_init, bias_init: `jax.nn.initializers`, called once for each entry of the
        params; PyTorch's uniform in ±1/sqrt(features) when None.

    Input: (batch, time, in), floating; or a dict of it as ``"x"`` and perhaps of
      ``"lengths"``, integers (batch,), how many steps of each example are meant; and
      ``"carry"``, (layers * directions, batch, features), where to start; zeros when
      it is left out or None.
    Output: (batch, time, features * directions), in the dtype that x, carry and params
      promote to. For a dict, the pair of that and the final carry. Past an example's
      length the output is zero; its final carry is that of its last step, where the
      backward run starts. Under `jax.jit`, an example whose length is less than 1 or
      more than time is NaN.
    Params: an entry for each layer, ``"layer0"`` and so on, with one for each
      direction, ``"forward"`` and ``"backward"``, with input_weight (in, features),
      hidden_weight (features, features), input_bias (features,) and hidden_bias
      (features,); in x's dtype.

    Raises:
      LayerError: a setting is out of range; later, x does not fit, a length is less
        than 1 or more than time, or there is no key in training with dropout.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer, x = nn.rnn(4), jnp.ones((2, 5, 3))
      >>> params = layer.init(jax.random.key(0), x)
      >>> layer.apply(params, x).shape
      (2, 5, 4)
      >>> y, carry = layer.apply(params, {"x": x, "lengths": jnp.array([5, 2])})
      >>> y.shape, carry.shape
      ((2, 5, 4), (1, 2, 4))

    Reference: Elman, "Finding Structure in Time", 1990. Follows `torch.nn.RNN` with
    `batch_first`, and with packed sequences where there are lengths; the weights are
    transposed.
    """
    settings = {
        "features": features,
        "nonlinearity": nonlinearity,
        "layers": layers,
        "bidirectional": bidirectional,
        "bias": bias,
        "dropout": dropout,
    }
    stack = _stack(rnn_kind(nonlinearity), features, layers, bidirectional)
    init = _drawn(stack, bias, weight_init, bias_init)
    return _recurrent(rnn, settings, stack, init, dropout)


def lstm(
    features: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    dropout: float = 0.0,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Runs long short-term memory over time.

    Each step is `lenetjax.functional.lstm_cell`.

    Args:
      features, layers, bidirectional, bias, dropout, weight_init, bias_init: as for
        `rnn`.

    Input: (batch, time, in), floating; or a dict, as for `rnn`, whose ``"carry"`` is a
      pair (hidden, cell), (layers * directions, batch, features) each.
    Output: (batch, time, features * directions); for a dict, the pair of that and the
      final carry, as for `rnn`.
    Params: as for `rnn`, the last axis being 4 * features: the gates i, f, g, o.

    Raises:
      LayerError: as for `rnn`.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer, x = nn.lstm(4, bidirectional=True), jnp.ones((2, 5, 3))
      >>> params = layer.init(jax.random.key(0), x)
      >>> params["layer0"]["backward"]["input_weight"].shape
      (3, 16)
      >>> y, (hidden, cell) = layer.apply(params, {"x": x})
      >>> y.shape, hidden.shape, cell.shape
      ((2, 5, 8), (2, 2, 4), (2, 2, 4))

    Reference: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997. Follows
    `torch.nn.LSTM` with `batch_first`; the weights are transposed.
    """
    settings = {
        "features": features,
        "layers": layers,
        "bidirectional": bidirectional,
        "bias": bias,
        "dropout": dropout,
    }
    stack = _stack(LSTM, features, layers, bidirectional)
    init = _drawn(stack, bias, weight_init, bias_init)
    return _recurrent(lstm, settings, stack, init, dropout)


def gru(
    features: int,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    dropout: float = 0.0,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Runs a gated recurrent unit over time.

    Each step is `lenetjax.functional.gru_cell`.

    Args:
      features, layers, bidirectional, bias, dropout, weight_init, bias_init: as for
        `rnn`.

    Input, output: as for `rnn`.
    Params: as for `rnn`, the last axis being 3 * features: the gates r, z, n.

    Raises:
      LayerError: as for `rnn`.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer, x = nn.gru(4, layers=2), jnp.ones((2, 5, 3))
      >>> params = layer.init(jax.random.key(0), x)
      >>> sorted(params), params["layer1"]["forward"]["input_weight"].shape
      (['layer0', 'layer1'], (4, 12))
      >>> layer.apply(params, x).shape
      (2, 5, 4)

    Reference: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder",
    2014. Follows `torch.nn.GRU` with `batch_first`: the reset gate comes after the
    product with hidden_weight. The weights are transposed.
    """
    settings = {
        "features": features,
        "layers": layers,
        "bidirectional": bidirectional,
        "bias": bias,
        "dropout": dropout,
    }
    stack = _stack(GRU, features, layers, bidirectional)
    init = _drawn(stack, bias, weight_init, bias_init)
    return _recurrent(gru, settings, stack, init, dropout)


def _stack(cell: Cell, features: int, layers: int, bidirectional: bool) -> Stack:
    directions = DIRECTIONS if bidirectional else DIRECTIONS[:1]
    return Stack(cell, size("features", features), size("layers", layers), directions)


def _drawn(
    stack: Stack,
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Callable[[jax.Array, PyTree], Params]:
    """Makes the init of all layers and directions."""
    default = uniform_fan_in(stack.features)
    weight_init, bias_init = weight_init or default, bias_init or default
    made = stack.cell.gates * stack.features

    def one_run(key: jax.Array, in_size: int, dtype: Any) -> Params:
        keys = jax.random.split(key, 4)
        params = {
            "input_weight": weight_init(keys[0], (in_size, made), dtype),
            "hidden_weight": weight_init(keys[1], (stack.features, made), dtype),
        }
        if bias:
            params["input_bias"] = bias_init(keys[2], (made,), dtype)
            params["hidden_bias"] = bias_init(keys[3], (made,), dtype)
        return params

    def init(key: jax.Array, x: PyTree) -> Params:
        x = sequences(stack, x).x
        in_size, params = x.shape[-1], {}
        for i in range(stack.layers):
            name = f"layer{i}"
            params[name] = {
                direction: one_run(
                    child_key(key, f"{name}/{direction}"), in_size, x.dtype
                )
                for direction in stack.directions
            }
            in_size = stack.features * len(stack.directions)
        return params

    return init


def _recurrent(
    maker: Callable[..., Layer],
    settings: Mapping[str, Any],
    stack: Stack,
    init: Callable[[jax.Array, PyTree], Params],
    dropout: float,
) -> Layer:
    """Makes the layer; it asks for a key only if there is something to drop."""
    fraction("dropout", dropout)

    def run(params: Params, x: PyTree, keys: jax.Array | None) -> PyTree:
        def between(i: int, y: jax.Array) -> jax.Array:
            return y if keys is None else functional.dropout(y, dropout, keys[i])

        y, carry = recur(stack, params, sequences(stack, x), between)
        if not isinstance(x, dict):
            return y
        return y, (carry if len(carry) > 1 else carry[0])

    def apply(params: Params, x: PyTree) -> PyTree:
        return run(params, x, None)

    def apply_with_dropout(
        params: Params, x: PyTree, *, key: jax.Array, train: bool
    ) -> PyTree:
        return run(
            params, x, jax.random.split(key, stack.layers - 1) if train else None
        )

    drops = dropout > 0 and stack.layers > 1
    return layer(maker, init, apply_with_dropout if drops else apply, settings=settings)
