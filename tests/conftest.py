"""Settings and fixtures that all tests share."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis
import jax
import pytest

hypothesis.settings.register_profile(
    "lenetjax", deadline=None, derandomize=True, database=None, max_examples=20
)
hypothesis.settings.load_profile("lenetjax")


@pytest.fixture(autouse=True)
def rank_promotion():
    """Forbids silent broadcasting between arrays of different rank."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture
def key():
    """A random key for whatever a test draws."""
    return jax.random.key(0)
