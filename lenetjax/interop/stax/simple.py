"""Layers of stax without params: functions of each number, and changes of shape."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.interop.stax.pair import Pair, Shape, shape_of


def elementwise(fun: Callable[..., jax.Array], **fun_kwargs: Any) -> Pair:
    """Makes a layer of a function of one array that keeps its shape.

    Args:
      fun: the function.
      **fun_kwargs: what it is given besides the array.

    Returns:
      (init_fun, apply_fun), without params.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.elementwise(jnp.clip, min=0, max=1)
      >>> apply_fun((), jnp.array([-1.0, 0.5, 2.0]))
      Array([0. , 0.5, 1. ], dtype=float32)

    Follows `jax.example_libraries.stax.elementwise`.
    """

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        return fun(inputs, **fun_kwargs)

    return _keep_shape, apply_fun


def FanOut(num: int) -> Pair:
    """Gives its input to each of several layers: a list of `num` times the input.

    Args:
      num: how many there are.

    Returns:
      (init_fun, apply_fun), without params.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.FanOut(2)
      >>> init_fun(jax.random.key(0), (8, 3))
      ([(8, 3), (8, 3)], ())

    Follows `jax.example_libraries.stax.FanOut`.
    """

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        return [input_shape] * num, ()

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        return [inputs] * num

    return init_fun, apply_fun


def FanInConcat(axis: int = -1) -> Pair:
    """Concatenates a list of arrays along an axis.

    Args:
      axis: the axis that may differ between them.

    Returns:
      (init_fun, apply_fun), without params.

    Raises:
      LayerError: by init_fun: the shapes differ elsewhere too.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.FanInConcat()
      >>> apply_fun((), [jnp.zeros((8, 3)), jnp.zeros((8, 2))]).shape
      (8, 5)

    Follows `jax.example_libraries.stax.FanInConcat`.
    """

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        first = tuple(input_shape[0])
        at = axis % len(first)
        before, after = first[:at], first[at + 1 :]
        if any((*s[:at], *s[at + 1 :]) != before + after for s in input_shape):
            raise LayerError(
                f"FanInConcat({axis}): expected shapes that are alike but for axis "
                f"{at}, got {input_shape}"
            )
        return (*before, sum(s[at] for s in input_shape), *after), ()

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        return jnp.concatenate(inputs, axis)

    return init_fun, apply_fun


def _keep_shape(rng: Any, input_shape: Shape) -> Any:
    return input_shape, ()


def _flat_shape(rng: Any, input_shape: Shape) -> Any:
    return (input_shape[0], math.prod(input_shape[1:])), ()


def _flatten(params: Any, inputs: Any, **kwargs: Any) -> Any:
    return inputs.reshape(inputs.shape[0], math.prod(inputs.shape[1:]))


def _first_shape(rng: Any, input_shape: Shape) -> Any:
    return input_shape[0], ()


def _add(params: Any, inputs: Any, **kwargs: Any) -> Any:
    total: Any = sum(inputs)
    if total.shape != inputs[0].shape:
        raise LayerError(
            "FanInSum: the sum must have the shape of its first input, got "
            f"{shape_of(inputs)}, whose sum has {total.shape}"
        )
    return total


def _same(params: Any, inputs: Any, **kwargs: Any) -> Any:
    return inputs


Tanh = elementwise(jnp.tanh)
Relu = elementwise(jax.nn.relu)
Exp = elementwise(jnp.exp)
LogSoftmax = elementwise(jax.nn.log_softmax, axis=-1)
Softmax = elementwise(jax.nn.softmax, axis=-1)
Softplus = elementwise(jax.nn.softplus)
Sigmoid = elementwise(jax.nn.sigmoid)
Elu = elementwise(jax.nn.elu)
LeakyRelu = elementwise(jax.nn.leaky_relu)
Selu = elementwise(jax.nn.selu)
Gelu = elementwise(jax.nn.gelu)
Identity: Pair = _keep_shape, _same
Flatten: Pair = _flat_shape, _flatten
FanInSum: Pair = _first_shape, _add
