"""What recurrent layers refuse, and what PyTorch has no word for."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn

X = jax.random.normal(jax.random.key(1), (2, 5, 3), "float32")
kinds = pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])


def make(kind, **options):
    """A layer and its first params."""
    layer = getattr(nn, kind)(4, **options)
    return layer, layer.init(jax.random.key(0), X)


@kinds
def test_an_array_gives_an_array_and_a_dict_a_pair(kind):
    """The input's structure decides, and the values are the same."""
    layer, params = make(kind, layers=2)

    y = layer.apply(params, X)
    alike, carry = layer.apply(params, {"x": X, "lengths": None, "carry": None})

    np.testing.assert_array_equal(y, alike)
    assert jax.tree.structure(carry) == jax.tree.structure(
        (0, 0) if kind == "lstm" else 0
    )
    assert {part.shape for part in jax.tree.leaves(carry)} == {(2, 2, 4)}


@kinds
def test_a_carry_takes_up_where_the_last_call_ended(kind):
    """Two halves in sequence make the whole."""
    layer, params = make(kind, layers=2)

    whole, end = layer.apply(params, {"x": X})
    first, carry = layer.apply(params, {"x": X[:, :2]})
    second, same_end = layer.apply(params, {"x": X[:, 2:], "carry": carry})

    halves = jnp.concatenate([first, second], axis=1)
    np.testing.assert_allclose(halves, whole, rtol=1e-6, atol=1e-7)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, 1e-6, 1e-7),
        same_end,
        end,
    )


@kinds
def test_layers_repeat_the_cells(kind):
    """The array function of one step, in a loop, gives the layer's output."""
    layer, params = make(kind)
    cell = getattr(nn.functional, f"{kind}_cell")
    zeros = jnp.zeros((2, 4))
    carry = (zeros, zeros) if kind == "lstm" else zeros

    for step in range(X.shape[1]):
        carry = cell(X[:, step], carry, **params["layer0"]["forward"])

    _, end = layer.apply(params, {"x": X})
    for one, other in zip(jax.tree.leaves(carry), jax.tree.leaves(end), strict=True):
        np.testing.assert_allclose(one, other[0], rtol=1e-6, atol=1e-7)


def test_dropout_draws_for_each_step_and_between_layers_alone():
    """Every layer passes ones on, so that the output is the product of the masks."""
    features, x = 40, jnp.ones((1, 6, 40))
    layer = nn.rnn(features, nonlinearity="relu", layers=3, dropout=0.5, bias=False)
    one = {"input_weight": jnp.eye(features), "hidden_weight": jnp.zeros((40, 40))}
    params = {f"layer{i}": {"forward": one} for i in range(3)}

    y = layer.apply(params, x, key=jax.random.key(0), train=True)

    assert set(np.unique(y)) == {0.0, 4.0}  # two masks, none after the last layer
    assert 0.15 < float((y > 0).mean()) < 0.35  # half of a half: two different ones
    steps = [y[0, i] for i in range(6)]
    assert all((a != b).any() for a, b in itertools.combinations(steps, 2))
    np.testing.assert_array_equal(layer.apply(params, x), x)


def test_only_what_drops_asks_for_a_key():
    """Without dropout between layers, training needs no randomness."""
    assert nn.lstm(4, dropout=0.5).needs == nn.lstm(4, layers=2).needs == frozenset()
    layer, params = make("gru", layers=2, dropout=0.5)

    with pytest.raises(nn.LayerError, match="needs randomness"):
        layer.apply(params, X, train=True)


@pytest.mark.compiled
@kinds
def test_longer_sequences_are_no_more_to_compile(kind):
    """The steps are a loop, in which the carry's is the only product of matrices."""
    layer, params = make(kind, bidirectional=True, layers=2)

    def program(time):
        x = jnp.zeros((2, time, 3))
        return jax.make_jaxpr(layer.apply)(params, x)

    def count(jaxpr, name=None):
        inner = [
            count(part.jaxpr, name)
            for eqn in jaxpr.eqns
            for part in jax.tree.leaves(
                list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "jaxpr")
            )
            if hasattr(part, "jaxpr")
        ]
        return sum(inner) + sum(name in (None, e.primitive.name) for e in jaxpr.eqns)

    short, long = program(5).jaxpr, program(50).jaxpr

    assert count(short) == count(long)
    assert count(long, "scan") == 4
    assert count(long, "dot_general") == 8
    assert sum(e.primitive.name == "dot_general" for e in long.eqns) == 4


@kinds
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32"])
def test_lengths_of_any_integers(kind, dtype):
    """A small dtype does not wrap around where x is longer than it can count."""
    layer, params = make(kind)
    x = jnp.ones((2, 300, 3))

    y, _ = layer.apply(params, {"x": x, "lengths": jnp.array([3, 120], dtype)})

    assert [int((one != 0).any(-1).sum()) for one in y] == [3, 120]


@pytest.mark.compiled
@kinds
def test_wrong_lengths_give_nan_when_compiled(kind):
    """That example alone is lost, in outputs and carry."""
    layer, params = make(kind, bidirectional=True)
    x = jnp.concatenate([X, X])

    @jax.jit
    def run(lengths):
        return layer.apply(params, {"x": x, "lengths": lengths})

    y, carry = run(jnp.array([0, 5, -1, 6]))

    for part in (jnp.swapaxes(y, 0, 1), *jax.tree.leaves(carry)):
        assert jnp.isnan(part).all((0, 2)).tolist() == [True, False, True, True]
        assert jnp.isfinite(part[:, 1]).all()


def test_half_precision_does_not_add_up_its_roundings():
    """A cell of bfloat16 would stop growing where one of float32 goes on."""
    layer, x = nn.lstm(1), jnp.zeros((1, 600, 1), "bfloat16")
    params = jax.tree.map(jnp.zeros_like, layer.init(jax.random.key(0), x))
    a_little_each_step = jnp.array([-5.0, 20.0, 20.0, 20.0], "bfloat16")
    params["layer0"]["forward"]["input_bias"] = a_little_each_step

    _, (_, cell) = layer.apply(params, {"x": x})

    assert cell.dtype == "bfloat16"
    assert float(cell[0, 0, 0]) == pytest.approx(600 / (1 + np.exp(5)), rel=0.01)


def test_dtypes_promote():
    """x, carry and params come to one dtype, as in a linear layer."""
    layer, params = make("gru")
    half = jax.tree.map(lambda array: array.astype("bfloat16"), (params, X))
    carry = jnp.zeros((1, 2, 4), "float32")

    assert layer.apply(half[0], X).dtype == "float32"
    assert layer.apply(params, half[1]).dtype == "float32"
    y, end = layer.apply(half[0], {"x": half[1], "carry": carry})
    assert y.dtype == end.dtype == "float32"
    cell = half[0]["layer0"]["forward"]
    assert nn.functional.gru_cell(half[1][:, 0], carry[0], **cell).dtype == "float32"


@kinds
def test_initializers_are_used(kind):
    """Weights come from the one and biases from the other."""
    ones, zeros = jax.nn.initializers.ones, jax.nn.initializers.zeros
    _, params = make(kind, weight_init=ones, bias_init=zeros)

    weights = params["layer0"]["forward"]

    assert {name: float(w.mean()) for name, w in weights.items()} == {
        "input_weight": 1.0,
        "hidden_weight": 1.0,
        "input_bias": 0.0,
        "hidden_bias": 0.0,
    }


def test_settings_show_and_rebuild_the_layer():
    """A description makes the same layer again."""
    layer = nn.rnn(4, nonlinearity="relu", layers=2, bidirectional=True, dropout=0.1)

    assert repr(layer) == (
        "rnn(4, nonlinearity='relu', layers=2, bidirectional=True, dropout=0.1)"
    )
    for one in (layer, nn.lstm(3, bias=False), nn.gru(2, layers=3)):
        assert repr(nn.build(nn.describe(one))) == repr(one)


@pytest.mark.parametrize(
    ("make_layer", "message"),
    [
        (lambda: nn.rnn(0), "features must be a positive int, got 0"),
        (lambda: nn.lstm(3, layers=0), "layers must be a positive int, got 0"),
        (lambda: nn.gru(3, dropout=1.5), "dropout must be a number from 0 to 1"),
        (lambda: nn.rnn(3, nonlinearity="elu"), "'tanh' or 'relu', got 'elu'"),
        (lambda: nn.rnn(3, nonlinearity=jnp.tanh), "'tanh' or 'relu', got <"),
    ],
)
def test_bad_settings(make_layer, message):
    """Settings are refused when the layer is made."""
    with pytest.raises(nn.LayerError, match=message):
        make_layer()


@pytest.mark.parametrize(
    ("kind", "x", "message"),
    [
        ("rnn", jnp.ones((5, 3)), r"\(batch, time, in\), got float..\[5,3\]; give a"),
        ("rnn", jnp.ones((1, 2, 5, 3)), r"time, in\), got float..\[1,2,5,3\]"),
        ("rnn", (X, X), "expected 3 axes"),
        ("gru", X[:, :0], r"at least one step in time, got float..\[2,0,3\]"),
        ("gru", X.astype(int), "expected floating-point numbers"),
        ("gru", {"input": X}, "got the entries input"),
        ("gru", {}, "got the entries none"),
        ("gru", {"x": X, "length": X}, "got the entries length, x"),
        ("rnn", {"x": X, "lengths": jnp.ones(2)}, r"of integers .* got float..\[2\]"),
        ("rnn", {"x": X, "lengths": jnp.array([1])}, r"lengths \(batch,\) of integers"),
        ("rnn", {"x": X, "lengths": (1, 1)}, r"lengths \(batch,\) of integers"),
        ("rnn", {"x": X, "lengths": jnp.array([0, 2])}, r"from 1 to 5, .* \[0, 2\]"),
        ("rnn", {"x": X, "lengths": np.array([6, 2])}, r"from 1 to 5, .* \[6, 2\]"),
        (
            "rnn",
            {"x": X, "carry": jnp.zeros((2, 2, 4))},
            r"an array \(layers \* .*\) = \(1, 2, 4\), got float..\[2,2,4\]",
        ),
        ("gru", {"x": X, "carry": (jnp.zeros((1, 2, 4)),)}, r"got \(float..\[1,2,4\]"),
        (
            "lstm",
            {"x": X, "carry": jnp.zeros((1, 2, 4))},
            r"a pair \(hidden, cell\), each .* got float..\[1,2,4\]",
        ),
        ("lstm", {"x": X, "carry": (jnp.zeros((1, 2, 4)), jnp.zeros(4))}, "a pair"),
        ("gru", {"x": X, "carry": jnp.zeros((1, 2, 4), int)}, "floating-point"),
    ],
)
def test_bad_inputs(kind, x, message):
    """Inputs are refused before anything is computed."""
    layer, params = make(kind)

    with pytest.raises(nn.LayerError, match=message):
        layer.apply(params, x)


def test_lengths_known_while_tracing_are_refused():
    """A JAX array made outside of `jax.jit` has values that can be seen inside."""
    layer, params = make("gru")
    lengths = jnp.array([5, 6])

    with pytest.raises(nn.LayerError, match=r"from 1 to 5, .* \[5, 6\]"):
        jax.jit(lambda x: layer.apply(params, {"x": x, "lengths": lengths}))(X)


@pytest.mark.parametrize(
    ("cell", "arguments", "message"),
    [
        (
            "lstm_cell",
            [(2, 3), ((2, 4), (2, 4)), (3, 4), (4, 16)],
            r"input_weight \(in, 4 \* features\), .* got float..\[2,3\]",
        ),
        ("lstm_cell", [(2, 3), (2, 4), (3, 16), (4, 16)], r"\(hidden, cell\), got"),
        ("rnn_cell", [(2, 3), (2, 4), (3, 4), (4,)], r"input_weight \(in, features\)"),
        ("gru_cell", [(2, 3), (4,), (3, 12), (4, 12)], r"hidden \(\.\.\., features\)"),
        ("gru_cell", [(2, 3), (2, 4), (3, 12), (4, 12), (4,)], "and biases"),
        ("gru_cell", [(2, 3), (2, 4), (3, 12), (4, 12), (12,), (4,)], "and biases"),
        ("gru_cell", [(2, 5), (2, 4), (3, 12), (4, 12)], r"x \(\.\.\., in\)"),
        ("rnn_cell", [(), (), (3, 4), (4, 4)], r"x \(\.\.\., in\)"),
    ],
)
def test_bad_cells(cell, arguments, message):
    """The array functions refuse shapes that do not fit."""
    arrays = jax.tree.map(
        jnp.ones,
        arguments,
        is_leaf=lambda a: isinstance(a, tuple) and all(isinstance(n, int) for n in a),
    )

    with pytest.raises(nn.LayerError, match=message):
        getattr(nn.functional, cell)(*arrays)


def test_cells_refuse_integers():
    """Of x, carry and weights alike."""
    x, hidden, weight = jnp.ones((2, 3)), jnp.ones((2, 4), int), jnp.ones((3, 4))

    with pytest.raises(nn.LayerError, match="floating-point"):
        nn.functional.rnn_cell(x, hidden, weight, jnp.ones((4, 4)))
