"""What an entry of the catalogue is."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lenetjax as nn


@dataclass(frozen=True)
class Ints:
    """An input of integers from 0 to `below` - 1."""

    shape: tuple[int, ...]
    below: int


@dataclass(frozen=True)
class Bools:
    """An input of bools: a mask whose last axis is true at the start, at least once."""

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Case:
    """A layer, and the shape of an input that it takes.

    `shape` is the shape of a floating array, an `Ints` or a `Bools`, or a dict or tuple
    of those. `random` says that the output in training depends on the key, `drawn` that
    the initial params do, `batched` that the first axis of input and output
    is a batch. `skip` names the laws that a layer is made to break. `long` leaves its
    laws to the long run, as of nets that only stack layers whose laws are tested.
    """

    name: str
    layer: nn.Layer
    shape: Any
    random: bool = False
    state: bool = False
    drawn: bool = False
    batched: bool = True
    skip: tuple[str, ...] = ()
    long: bool = False

    def input(self, dtype="float32"):
        """Makes an input for the layer."""
        return jax.tree.map(
            lambda spec: values(spec, dtype), self.shape, is_leaf=is_shape
        )

    @functools.cache  # noqa: B019 (the catalogue lives as long as the program)
    def example(self, dtype="float32"):
        """Makes params, state and an input for the layer."""
        x = self.input(dtype)
        params, state = self.layer.init_with_state(jax.random.key(0), x)
        return params, state, x


def is_shape(tree):
    """Whether an entry of `Case.shape` stands for one array."""
    return isinstance(tree, Ints | Bools) or (
        isinstance(tree, tuple) and all(isinstance(size, int) for size in tree)
    )


def values(spec, dtype):
    """Makes the array that a shape stands for."""
    if isinstance(spec, Ints):
        return jnp.asarray(np.random.default_rng(0).integers(0, spec.below, spec.shape))
    if isinstance(spec, Bools):
        mask = np.random.default_rng(0).random(spec.shape) < 0.7
        mask[..., 0] = True
        return jnp.asarray(mask)
    return jnp.asarray(spread(spec), dtype)


def spread(shape: tuple[int, ...]) -> np.ndarray:
    """Makes values in -1..1 of which no two are close, and none is close to zero."""
    size = int(np.prod(shape))
    ranks = np.random.default_rng(0).permutation(size)
    return ((ranks + 0.25) / size * 2 - 1).reshape(shape)
