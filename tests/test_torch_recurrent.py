"""Recurrent layers against PyTorch: outputs, final carries and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, given, torch
from hypothesis import strategies as st

import lenetjax as nn

THEIRS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
NAMES = {  # ours, and PyTorch's
    "input_weight": "weight_ih",
    "hidden_weight": "weight_hh",
    "input_bias": "bias_ih",
    "hidden_bias": "bias_hh",
}
kinds = pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])


class Pair:
    """A layer of ours and PyTorch's, as functions of the same flat arrays.

    The arrays are x, the parts of the carry if there is one, then the params.
    """

    def __init__(
        self, kind, features, in_size=2, layers=1, carry=False, lengths=None, **options
    ):
        self.ours = getattr(nn, kind)(features, layers=layers, **options)
        self.theirs = THEIRS[kind](
            in_size, features, num_layers=layers, batch_first=True, **options
        ).double()
        self.kind, self.lengths = kind, lengths
        self.carries = carry * (2 if kind == "lstm" else 1)
        self.directions = 1 + options.get("bidirectional", False)
        bias = options.get("bias", True)
        self.paths = [
            (f"layer{i}", direction, name)
            for i in range(layers)
            for direction in ("forward", "backward")[: self.directions]
            for name in (NAMES if bias else list(NAMES)[:2])
        ]

    def arrays(self, seed, batch, time, scale=1.0):
        """Draws them all."""
        rnn = self.theirs
        x = draw(seed, batch, time, rnn.input_size, scale=scale)
        shape = (rnn.num_layers * self.directions, batch, rnn.hidden_size)
        carry = [draw(seed + 1 + i, *shape) for i in range(self.carries)]
        params = [
            draw(seed + 9 + i, *transposed(getattr(rnn, self.their_name(path))).shape)
            for i, path in enumerate(self.paths)
        ]
        return x, *carry, *params

    def their_name(self, path):
        layer, direction, name = path
        number = layer.removeprefix("layer")
        return f"{NAMES[name]}_l{number}" + "_reverse" * (direction == "backward")

    def our_run(self, x, *rest):
        carry, weights = rest[: self.carries], rest[self.carries :]
        given = {"x": x, "carry": None}
        if carry:
            given["carry"] = carry if self.kind == "lstm" else carry[0]
        if self.lengths is not None:
            given["lengths"] = self.lengths
        y, end = self.ours.apply(self.our_params(weights), given)
        return y, *(end if self.kind == "lstm" else (end,))

    def our_params(self, weights):
        params = {}
        for (layer, direction, name), weight in zip(self.paths, weights, strict=True):
            params.setdefault(layer, {}).setdefault(direction, {})[name] = weight
        return params

    def their_run(self, x, *rest):
        carry, weights = rest[: self.carries], rest[self.carries :]
        params = {
            self.their_name(path): transposed(weight)
            for path, weight in zip(self.paths, weights, strict=True)
        }
        given = x
        if self.lengths is not None:
            given = torch.nn.utils.rnn.pack_padded_sequence(
                x, torch.tensor(self.lengths), batch_first=True, enforce_sorted=False
            )
        carry = (carry if self.kind == "lstm" else carry[0]) if carry else None
        y, end = torch.func.functional_call(self.theirs, params, (given, carry))
        if self.lengths is not None:
            y, _ = torch.nn.utils.rnn.pad_packed_sequence(
                y, batch_first=True, total_length=x.shape[1]
            )
        return y, *(end if self.kind == "lstm" else (end,))


def transposed(weight):
    """Turns our params into PyTorch's, and back."""
    return weight.mT if weight.ndim == 2 else weight


examples = st.lists(st.integers(1, 4), min_size=1, max_size=3)  # a length for each
options = {
    "features": st.integers(1, 3),
    "in_size": st.integers(1, 3),
    "layers": st.sampled_from([1, 2, 1, 3]),
    "bidirectional": st.booleans(),
    "bias": st.booleans(),
}


@kinds
@given(
    lengths=examples, ragged=st.booleans(), carry=st.booleans(), relu=st.booleans(),
    given=st.fixed_dictionaries(options), seed=st.integers(0, 99),
    dtype=st.sampled_from(["float64", "float32"]),
)  # fmt: skip
def test_layers(kind, lengths, ragged, carry, relu, given, seed, dtype):
    """Layers, directions and biases, from zeros or a carry, all steps or ragged ones.

    With lengths, even the longest example may be shorter than x.
    """
    if kind == "rnn" and relu:
        given = given | {"nonlinearity": "relu"}
    batch, time = len(lengths), 4 if ragged else lengths[0]
    lengths = np.array(lengths) if ragged else None
    pair = Pair(kind, carry=carry, lengths=lengths, **given)

    agree(
        pair.our_run, pair.their_run, *pair.arrays(seed, batch, time), dtypes=(dtype,)
    )


@kinds
def test_an_empty_batch(kind):
    """No examples give no outputs."""
    layer = getattr(nn, kind)(3, bidirectional=True)
    x = jnp.zeros((0, 4, 2))

    y, carry = layer.apply(layer.init(jax.random.key(0), x), {"x": x})

    assert y.shape == (0, 4, 6)
    assert {part.shape for part in jax.tree.leaves(carry)} == {(2, 0, 3)}


@kinds
@given(
    leading=st.sampled_from([(), (1,), (3,)]), features=st.integers(1, 3),
    bias=st.booleans(), relu=st.booleans(), seed=st.integers(0, 99),
    dtype=st.sampled_from(["float64", "float32"]),
)  # fmt: skip
def test_cells(kind, leading, features, bias, relu, seed, dtype):
    """One step, without or with a batch axis."""
    names = {"rnn": "RNNCell", "lstm": "LSTMCell", "gru": "GRUCell"}
    ours = getattr(nn.functional, f"{kind}_cell")
    mode = {"nonlinearity": "relu" if relu else "tanh"} if kind == "rnn" else {}
    theirs = getattr(torch.nn, names[kind])(2, features, bias=bias, **mode)
    parts = 2 if kind == "lstm" else 1
    made = GATES[kind] * features
    shapes = [(*leading, 2), *[(*leading, features)] * parts]
    shapes += [(2, made), (features, made), *[(made,), (made,)] * bias]

    def our_step(x, *rest):
        carry, weights = rest[:parts], rest[parts:]
        return ours(x, carry if parts == 2 else carry[0], *weights, **mode)

    def their_step(x, *rest):
        carry, weights = rest[:parts], rest[parts:]
        params = dict(zip(NAMES.values(), map(transposed, weights), strict=False))
        carry = carry if parts == 2 else carry[0]
        return torch.func.functional_call(theirs, params, (x, carry))

    arrays = [draw(seed + i, *shape) for i, shape in enumerate(shapes)]
    agree(our_step, their_step, *arrays, dtypes=(dtype,))


@kinds
@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(0.0, "float32"), (1e3, "float64"), (1e30, "float32"), (1e30, "float64")],
)
def test_large_magnitudes_and_zeros(kind, scale, dtype):
    """Gates saturate, and gradients stay as finite as PyTorch's.

    At 1e3 those depend on how close a sigmoid is to 1, which float32 cannot hold.
    """
    pair = Pair(kind, 3, layers=2, carry=True)
    arrays = pair.arrays(5, 2, 3, scale=scale)

    agree(pair.our_run, pair.their_run, *arrays, dtypes=(dtype,))


@kinds
@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("where", ["x", "carry"])
def test_values_that_are_not_finite(kind, value, where):
    """They end up in the same places, in outputs and gradients."""
    pair = Pair(kind, 3, carry=True)
    arrays = pair.arrays(5, 2, 3)
    arrays[0 if where == "x" else pair.carries][0, 0, 1] = value

    agree(pair.our_run, pair.their_run, *arrays)


@kinds
@pytest.mark.parametrize("value", [np.inf, np.nan, 1e30])
def test_what_lies_past_the_end_does_not_matter(kind, value):
    """Padding of any value reaches neither an output nor a gradient."""
    pair = Pair(kind, 3, bidirectional=True, lengths=np.array([2, 3]))
    arrays = pair.arrays(5, 2, 4)
    arrays[0][0, 2:] = arrays[0][1, 3:] = value

    agree(pair.our_run, pair.their_run, *arrays, dtypes=("float32",))


def test_a_relu_that_overflows_at_its_last_step():
    """The step after the end is not taken with what has overflowed."""
    pair = Pair("rnn", 2, nonlinearity="relu", lengths=np.array([1, 3]))
    arrays = pair.arrays(5, 2, 3)
    arrays[0][0, 0, 0] = np.inf

    agree(pair.our_run, pair.their_run, *arrays)


@kinds
@pytest.mark.parametrize("lengths", [None, np.array([200, 3])])
def test_long_sequences(kind, lengths):
    """200 steps of weights as they are drawn first."""
    pair = Pair(kind, 3, lengths=lengths)
    x, *weights = pair.arrays(5, 2, 200)

    agree(pair.our_run, pair.their_run, x, *(w * 0.3 for w in weights))


@kinds
def test_initial_values(kind):
    """Every entry is spread evenly over ±1/sqrt(features), none like another."""
    layer = getattr(nn, kind)(400, layers=2, bidirectional=True)

    params = layer.init(jax.random.key(0), jax.ShapeDtypeStruct((1, 1, 4), "float32"))

    leaves = jax.tree.leaves(params)
    assert len({float(leaf.ravel()[0]) for leaf in leaves}) == len(leaves) == 16
    for leaf in leaves:
        assert 0.04 < abs(leaf).max() <= 0.05
        assert float(leaf.std()) == pytest.approx(0.05 / 3**0.5, rel=0.1)
