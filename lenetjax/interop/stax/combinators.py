"""Layers of stax that are made of layers."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from lenetjax.core import LayerError
from lenetjax.interop.stax.pair import Pair, Shape, check_pair, shape_of


def serial(*layers: Pair) -> Pair:
    """Feeds each layer's output to the next.

    Args:
      *layers: pairs (init_fun, apply_fun).

    Returns:
      (init_fun, apply_fun) with a list of the layers' params. Each layer has a random
      key of its own, which depends on its position.

    Raises:
      LayerError: something is no pair; later, there are not as many params as layers.
        An error inside of a layer says in its notes which one it is.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.serial(stax.Dense(4), stax.Relu, stax.Dense(2))
      >>> output_shape, params = init_fun(jax.random.key(0), (-1, 3))
      >>> apply_fun(params, jnp.ones((8, 3))).shape
      (8, 2)

    Follows `jax.example_libraries.stax.serial`, which leaves layers out where params
    are too few.
    """
    _check("serial", layers)

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        params = []
        for position, (init, _) in enumerate(layers):
            rng, layer_rng = jax.random.split(rng)
            with _located("serial", position, layers, input_shape):
                input_shape, made = init(layer_rng, input_shape)
            params.append(made)
        return input_shape, params

    def apply_fun(params: Any, inputs: Any, *, rng: Any = None, **kwargs: Any) -> Any:
        _refuse_other_count("serial", "params", params, layers)
        rngs = _rngs(rng, layers)
        for position, (_, apply) in enumerate(layers):
            with _located("serial", position, layers, inputs):
                inputs = apply(params[position], inputs, rng=rngs[position], **kwargs)
        return inputs

    return init_fun, apply_fun


def parallel(*layers: Pair) -> Pair:
    """Gives each layer an input of its own, often between `FanOut` and `FanInSum`.

    Args:
      *layers: pairs (init_fun, apply_fun).

    Returns:
      (init_fun, apply_fun), from a list of inputs to a list of outputs, with a tuple of
      the layers' params.

    Raises:
      LayerError: something is no pair; later, there are not as many inputs or params as
        layers.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.serial(
      ...     stax.FanOut(2), stax.parallel(stax.Dense(4), stax.Identity),
      ...     stax.FanInConcat())
      >>> init_fun(jax.random.key(0), (-1, 3))[0]
      (-1, 7)

    Follows `jax.example_libraries.stax.parallel`, which leaves layers out where inputs
    are too few.
    """
    _check("parallel", layers)

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        _refuse_other_count("parallel", "input shapes", input_shape, layers)
        rngs = jax.random.split(rng, max(1, len(layers)))
        shapes, params = [], []
        for position, (init, _) in enumerate(layers):
            with _located("parallel", position, layers, input_shape[position]):
                shape, made = init(rngs[position], input_shape[position])
            shapes.append(shape)
            params.append(made)
        return tuple(shapes), tuple(params)

    def apply_fun(params: Any, inputs: Any, *, rng: Any = None, **kwargs: Any) -> Any:
        _refuse_other_count("parallel", "params", params, layers)
        _refuse_other_count("parallel", "inputs", inputs, layers)
        rngs = _rngs(rng, layers)
        outputs = []
        for position, (_, apply) in enumerate(layers):
            own, x = params[position], inputs[position]
            with _located("parallel", position, layers, x):
                outputs.append(apply(own, x, rng=rngs[position], **kwargs))
        return outputs

    return init_fun, apply_fun


def shape_dependent(make_layer: Callable[[Shape], Pair]) -> Pair:
    """Makes a layer once the input's shape is known.

    Args:
      make_layer: a function from an input shape to a pair (init_fun, apply_fun).

    Returns:
      (init_fun, apply_fun) of the layer that it makes.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> halved = stax.shape_dependent(lambda shape: stax.Dense(shape[-1] // 2))
      >>> init_fun, apply_fun = halved
      >>> init_fun(jax.random.key(0), (8, 6))[0]
      (8, 3)

    Follows `jax.example_libraries.stax.shape_dependent`.
    """

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        init, _ = make_layer(input_shape)
        return init(rng, input_shape)

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        _, apply = make_layer(shape_of(inputs))
        return apply(params, inputs, **kwargs)

    return init_fun, apply_fun


def _check(name: str, layers: Sequence[Any]) -> None:
    for position, pair in enumerate(layers):
        check_pair(name, position, pair)


def _rngs(rng: Any, layers: Sequence[Pair]) -> Any:
    """A random key for each layer, or None for each."""
    return [None] * len(layers) if rng is None else jax.random.split(rng, len(layers))


def _refuse_other_count(
    name: str, what: str, given: Any, layers: Sequence[Pair]
) -> None:
    if len(given) != len(layers):
        raise LayerError(
            f"{name}: expected {what} for {len(layers)} layers, got {len(given)}"
        )


@contextlib.contextmanager
def _located(
    name: str, position: int, layers: Sequence[Pair], inputs: Any
) -> Iterator[None]:
    """Notes on an error which layer it comes from, and what that was given."""
    try:
        yield
    except Exception as error:
        given = jax.tree.map(lambda x: getattr(x, "shape", x), inputs)
        error.add_note(
            f"in layer {position} of the {len(layers)} of {name}, on {given}"
        )
        raise
