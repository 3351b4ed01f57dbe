"""Weights of an Equinox module under PyTorch's names and in its layout."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import LayerError

Array = np.ndarray[Any, Any]


def equinox_state_dict(module: Any, state: Any = None) -> dict[str, Array]:
    """Lists the arrays of an Equinox module as a state dict of PyTorch's.

    Names are those of the attributes, with dots between them: "conv1.weight". The
    layers of `equinox.nn.Sequential` are numbered, as PyTorch's are.

    Biases of convolutions lose their spatial axes, kernels of transposed convolutions
    are turned round, and batch norm gets its running mean and variance. Attention and
    recurrent cells keep Equinox's entries, which PyTorch has not.

    Args:
      module: an `equinox.Module`.
      state: its `equinox.nn.State`, if it has batch norm.

    Returns:
      NumPy arrays by name, for `from_torch`, or as tensors for
      ``torch_module.load_state_dict``.

    Raises:
      LayerError: it is no module, or there is batch norm and no state.

    Example:
      >>> import equinox, jax, lenetjax as nn
      >>> conv = equinox.nn.Conv2d(1, 6, 3, key=jax.random.key(0))
      >>> arrays = nn.interop.equinox_state_dict(conv)
      >>> {name: array.shape for name, array in arrays.items()}
      {'weight': (6, 1, 3, 3), 'bias': (6,)}
    """
    import equinox

    if not isinstance(module, equinox.Module):
        raise LayerError(f"expected an equinox.Module, got {type(module).__name__}")
    return {name: np.asarray(array) for name, array in _arrays(module, state, "")}


def _arrays(thing: Any, state: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each array inside, with its name."""
    if isinstance(thing, (jax.Array, np.ndarray)):
        yield path, thing
        return
    for name, inner in _inside(thing, state):
        yield from _arrays(inner, state, f"{path}.{name}" if path else name)


def _inside(thing: Any, state: Any) -> Iterator[tuple[str, Any]]:
    """What PyTorch would have in it, by name."""
    from equinox import Module, nn

    if isinstance(thing, nn.Conv):
        yield "weight", thing.weight
        yield "bias", _flat(thing.bias)
    elif isinstance(thing, nn.ConvTranspose):
        yield "weight", _transposed(thing.weight, thing.groups)
        yield "bias", _flat(thing.bias)
    elif isinstance(thing, nn.PReLU):
        yield "weight", jnp.reshape(thing.negative_slope, -1)
    elif isinstance(thing, nn.BatchNorm):
        yield "weight", thing.weight
        yield "bias", thing.bias
        yield from _running(thing, state)
    elif isinstance(thing, nn.Sequential):
        yield from ((str(i), layer) for i, layer in enumerate(thing.layers))
    elif isinstance(thing, Module):
        for field in dataclasses.fields(thing):
            if not field.metadata.get("static", False):
                yield field.name, getattr(thing, field.name)
    elif isinstance(thing, (tuple, list)):
        yield from ((str(i), entry) for i, entry in enumerate(thing))
    elif isinstance(thing, dict):
        yield from ((str(name), entry) for name, entry in thing.items())


def _flat(bias: Any) -> Any:
    return None if bias is None else jnp.reshape(bias, -1)


def _transposed(weight: jax.Array, groups: int) -> jax.Array:
    """From (out, in / groups, ...) to (in, out / groups, ...), read backwards."""
    out, inputs, *kernel = weight.shape
    grouped = weight.reshape(groups, out // groups, inputs, *kernel).swapaxes(1, 2)
    turned = grouped.reshape(groups * inputs, out // groups, *kernel)
    return jnp.flip(turned, tuple(range(2, turned.ndim)))


def _running(norm: Any, state: Any) -> Iterator[tuple[str, Any]]:
    """The running statistics, which Equinox keeps apart from the module."""
    if state is None:
        raise LayerError(
            "the module has batch norm, whose statistics are in its state: "
            "equinox_state_dict(module, state)"
        )
    count = jnp.asarray(0)
    if norm.mode == "ema":
        mean, var = state.get(norm.ema_state_index)
    else:  # sums that are yet to be divided by how much of them has come in
        mean, var = state.get(norm.batch_state_index)
        count = state.get(norm.batch_counter)
        share = jnp.where(count == 0, 1, 1 - norm.momentum**count)
        mean, var = mean / share, var / share
    yield "running_mean", mean
    yield "running_var", var
    yield "num_batches_tracked", count
