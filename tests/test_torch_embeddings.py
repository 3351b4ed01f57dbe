"""Embeddings and positions against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, given, torch
from hypothesis import strategies as st

import lenetjax as nn

F = torch.nn.functional
seeds = st.integers(0, 99)
few = st.integers(1, 3)


def ints(seed, below, shape):
    return np.random.default_rng(seed).integers(0, below, shape)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0,), (2, 0), (2, 1, 3)])
@pytest.mark.parametrize("padding_idx", [None, 0, 2, -1])
def test_embedding(shape, padding_idx):
    """Rows, repeated ones and none; the padding row gets no gradient."""
    layer = nn.embedding(4, 3, padding_idx=padding_idx)
    x = ints(len(shape), 4, shape)

    agree(
        lambda x, weight: layer.apply({"weight": weight}, x),
        lambda x, weight: F.embedding(x, weight, padding_idx=padding_idx),
        x,
        draw(1, 4, 3),
    )


@given(
    rows=st.integers(1, 5), features=few, shape=st.lists(st.integers(0, 4), max_size=3),
    pads=st.booleans(), seed=seeds,
)  # fmt: skip
def test_embeddings(rows, features, shape, pads, seed):
    """Any sizes."""
    padding_idx = seed % rows if pads else None
    layer = nn.embedding(rows, features, padding_idx=padding_idx)

    agree(
        lambda x, weight: layer.apply({"weight": weight}, x),
        lambda x, weight: F.embedding(x, weight, padding_idx=padding_idx),
        ints(seed, rows, shape),
        draw(seed, rows, features),
    )


@given(batch=few, length=st.integers(0, 3), features=few, seed=seeds)
def test_learned_positions(batch, length, features, seed):
    """The first rows are added to each example."""
    agree(
        lambda x, weight: nn.learned_positions(3).apply({"weight": weight}, x),
        lambda x, weight: x + F.embedding(torch.arange(length), weight),
        draw(seed, batch, length, features),
        draw(seed + 1, 3, features),
    )


@given(
    length=st.integers(0, 70), features=st.integers(1, 7),
    base=st.sampled_from([2.0, 100, 10000.0]), seed=seeds,
)  # fmt: skip
def test_sinusoidal_positions(length, features, base, seed):
    """Sines in the even columns, cosines in the odd ones."""

    def theirs(x):
        table = torch.zeros(length, features + 1, dtype=torch.float64)
        position = torch.arange(length, dtype=torch.float64)[:, None]
        periods = base ** (torch.arange(0, features, 2).double() / features)
        table[:, 0::2][:, : len(periods)] = torch.sin(position / periods)
        table[:, 1::2][:, : len(periods)] = torch.cos(position / periods)
        return x + table[:, :features]

    layer = nn.sinusoidal_positions(base=base)
    agree(lambda x: layer.apply({}, x), theirs, draw(seed, 2, length, features))


def their_rotary(x, base=10000.0, positions=None):
    """Rotary positions as products of complex numbers."""
    half = x.shape[-1] // 2
    numbers = torch.complex(x[..., :half], x[..., half:])
    if positions is None:
        positions = torch.arange(x.shape[1])
    positions = positions.double().expand(x.shape[:2])
    frequencies = base ** (-torch.arange(half).double() / half)
    angles = (positions[..., None] * frequencies)[:, :, None]
    turned = numbers * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)


@given(
    batch=few, length=st.integers(0, 9), heads=few, half=few,
    base=st.sampled_from([3.0, 10000.0]), seed=seeds,
)  # fmt: skip
def test_rotary_positions(batch, length, heads, half, base, seed):
    """The halves of each head turn like complex numbers."""
    layer = nn.rotary_positions(base=base)

    agree(
        lambda x: layer.apply({}, x),
        lambda x: their_rotary(x, base),
        draw(seed, batch, length, heads, 2 * half),
    )


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_rotary_at_positions(shape):
    """Positions may be given, for all examples or for each."""
    agree(
        lambda x, positions: nn.functional.rotary(x, positions=positions),
        lambda x, positions: their_rotary(x, positions=positions),
        draw(0, 2, 3, 2, 4),
        ints(1, 20, shape),
    )


def test_initial_values_of_embeddings():
    """Normal, with the padding row at zero."""
    theirs = torch.nn.Embedding(60, 50, padding_idx=-2)

    layer = nn.embedding(60, 50, padding_idx=-2)
    weight = layer.init(jax.random.key(0), jnp.zeros(3, int))["weight"]

    np.testing.assert_array_equal(
        (weight == 0).all(axis=1), (theirs.weight == 0).all(dim=1)
    )
    assert abs(weight.std() - 1) < 0.05
    layer = nn.learned_positions(60)
    positions = layer.init(jax.random.key(1), jnp.zeros((1, 3, 50)))["weight"]
    assert abs(jax.device_get(positions).std() - 1) < 0.05
