"""Embeddings and positions: what they refuse, and what PyTorch cannot show."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), "float32")
HEADS = X[:, :, None]


def refused(call, *words):
    """Calls something that must be refused with all these words."""
    with pytest.raises(nn.LayerError) as refusal:
        call()
    for word in words:
        assert word in str(refusal.value)


def init_and_apply(layer, x, **options):
    return layer.apply(layer.init(jax.random.key(0), x), x, **options)


@pytest.mark.compiled
@pytest.mark.parametrize("bad", [-1, 4, 2**31 - 1, -(2**31)])
def test_an_int_out_of_range_is_refused_or_nan(bad):
    """Known values are refused; traced ones give NaN, and nothing to the gradient."""
    layer = nn.embedding(4, 3)
    x = jnp.array([1, bad])
    params = layer.init(jax.random.key(0), x)

    refused(lambda: layer.apply(params, x), "from 0 to 3", str(bad), "num_embeddings")
    y, pullback = jax.vjp(jax.jit(lambda params: layer.apply(params, x)), params)

    np.testing.assert_array_equal(y[0], params["weight"][1])
    assert jnp.isnan(y[1]).all()
    (gradient,) = pullback(jnp.ones_like(y))
    np.testing.assert_array_equal(
        gradient["weight"], np.array([[0], [1], [0], [0]]) * np.ones((4, 3))
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int32"])
def test_ints_of_any_kind(dtype):
    """Small ints are looked up in large tables, and negative ones are not wrapped."""
    weight = jnp.arange(300.0).reshape(300, 1)
    x = jnp.array([0, 127], dtype)

    np.testing.assert_array_equal(nn.functional.embedding(x, weight), [[0], [127]])
    if dtype.startswith("int"):
        refused(lambda: nn.functional.embedding(x - 1, weight), "from -1 to 126")


def test_the_embedding_has_a_dtype_of_its_own():
    """Its input has none to give."""
    y = init_and_apply(nn.embedding(4, 3, dtype="bfloat16"), jnp.array([1]))

    assert y.dtype == jnp.bfloat16
    layer = nn.embedding(4, 3, dtype="float64")
    with jax.enable_x64(False):
        refused(lambda: init_and_apply(layer, jnp.array([1])), "float64", "x64")
    with jax.enable_x64(True):
        assert init_and_apply(layer, jnp.array([1])).dtype == jnp.float64


def test_embedding_refuses():
    """Sizes, padding, dtypes and shapes that make no sense."""
    weight = jnp.ones((4, 3))
    embedding = nn.functional.embedding
    params = {"weight": weight}

    refused(lambda: nn.embedding(0, 3), "num_embeddings must be a positive int")
    refused(lambda: nn.embedding(3, 2.5), "features must be a positive int")
    refused(lambda: nn.embedding(3, 2, padding_idx=3), "padding_idx", "-3 to 2")
    refused(lambda: nn.embedding(3, 2, padding_idx=1.0), "padding_idx", "1.0")
    refused(lambda: nn.embedding(3, 2, dtype="int32"), "dtype", "int32")
    refused(lambda: nn.embedding(3, 2, dtype="float31"), "dtype", "float31")
    refused(lambda: nn.embedding(4, 3).init(jax.random.key(0), X), "expected ints")
    refused(lambda: nn.embedding(4, 3).apply(params, X), "expected ints", "astype")
    refused(lambda: embedding(X > 0, weight), "expected ints", "bool")
    refused(lambda: embedding(jnp.array(0), X), "(num_embeddings, features)")
    refused(lambda: embedding(jnp.array(0), weight.astype(int)), "floating-point")


def test_positions_refuse():
    """Sequences that are none, or too long."""
    key = jax.random.key(0)
    rotary = nn.functional.rotary

    refused(lambda: nn.learned_positions(0), "max_length must be a positive int")
    refused(lambda: nn.learned_positions(4).init(key, X[0]), "(batch, length, feat")
    refused(lambda: nn.learned_positions(2).apply({"weight": X[0, :2]}, X), "2", "3")
    refused(lambda: nn.sinusoidal_positions(base=0), "base", "0")
    refused(lambda: nn.sinusoidal_positions(base=True), "base", "True")
    refused(lambda: nn.sinusoidal_positions().apply({}, X[0]), "(batch, length, f")
    refused(lambda: nn.sinusoidal_positions().apply({}, X > 0), "floating-point")
    refused(lambda: nn.functional.sinusoidal_table(-1, 2), "length")
    refused(lambda: nn.functional.sinusoidal_table(2, 0), "features")
    refused(lambda: nn.rotary_positions(base="ten"), "base", "ten")
    refused(lambda: nn.rotary_positions().apply({}, X), "x (batch, length, heads")
    refused(lambda: rotary(HEADS[..., :3]), "even number")
    few = jnp.arange(2, dtype="int32")
    refused(lambda: rotary(HEADS, positions=few), "positions", "int32[2]")
    refused(lambda: rotary(HEADS, base=-1.0, positions=jnp.arange(3)), "base")


def test_positions_are_as_many_as_the_example_has():
    """Without a number, and another length is refused."""
    layer = nn.learned_positions()
    params = layer.init(jax.random.key(0), X)

    assert params["weight"].shape == X.shape[1:]
    np.testing.assert_array_equal(layer.apply(params, X), X + params["weight"][None])
    for x in (X[:, :2], jnp.concatenate([X, X], 1)):
        refused(lambda x=x: layer.apply(params, x), f"expected ({x.shape[1]}, 4)")


def test_the_table_keeps_its_digits_far_out():
    """Angles at large positions are computed in more than float32."""
    table = nn.functional.sinusoidal_table(30001, 4)

    want = np.sin(30000.0), np.cos(30000.0), np.sin(300.0), np.cos(300.0)
    np.testing.assert_allclose(table[30000], want, rtol=1e-6, atol=0)


def test_rotated_products_depend_on_the_distance_alone():
    """The product of a query and a key stays when both move along."""
    query, key = HEADS[:1, :1], HEADS[1:, :1]
    rotary = nn.functional.rotary

    def product(i, j):
        at_i = rotary(query, positions=jnp.array([i]))
        return (at_i * rotary(key, positions=jnp.array([j]))).sum()

    np.testing.assert_allclose(product(0, 3), product(5, 8), rtol=1e-4)
    assert abs(product(0, 3) - product(0, 4)) > 1e-2
    np.testing.assert_allclose(
        rotary(HEADS), rotary(HEADS, positions=jnp.arange(3)), rtol=1e-5, atol=1e-6
    )
