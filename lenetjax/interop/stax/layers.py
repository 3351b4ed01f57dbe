"""Layers of stax with params or randomness: dense, convolutions, norm and dropout."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn.initializers import glorot_normal, normal, ones, zeros

from lenetjax.core import LayerError
from lenetjax.interop.stax.pair import Pair, Shape, refuse_empty, refuse_rank

Initializer = Callable[..., Any]
Padding = str | Sequence[tuple[int, int]]

DENSE_WEIGHT, DENSE_BIAS, CONV_BIAS = glorot_normal(), normal(), normal(1e-6)


def Dense(
    out_dim: int, W_init: Initializer = DENSE_WEIGHT, b_init: Initializer = DENSE_BIAS
) -> Pair:
    """Multiplies the last axis by a matrix and adds a bias: ``inputs @ W + b``.

    Args:
      out_dim: the size of the output's last axis.
      W_init, b_init: initializers of `jax.nn.initializers`.

    Returns:
      (init_fun, apply_fun) with params (W, b), of shapes (in, out_dim) and (out_dim,).

    Raises:
      LayerError: by apply_fun: the input's last axis does not fit W.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.Dense(10)
      >>> output_shape, (W, b) = init_fun(jax.random.key(0), (-1, 784))
      >>> output_shape, W.shape, b.shape
      ((-1, 10), (784, 10), (10,))

    Follows `jax.example_libraries.stax.Dense`.
    """

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        weight_key, bias_key = jax.random.split(rng)
        weight = W_init(weight_key, (input_shape[-1], out_dim))
        bias = b_init(bias_key, (out_dim,))
        return (*input_shape[:-1], out_dim), (weight, bias)

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        weight, bias = params
        if jnp.shape(inputs)[-1:] != weight.shape[:1]:
            raise LayerError(
                f"Dense({out_dim}): expected (..., {weight.shape[0]}), as W has "
                f"{weight.shape}, got {jnp.shape(inputs)}"
            )
        y = jnp.dot(inputs, weight)
        return y + bias.reshape((1,) * (y.ndim - bias.ndim) + bias.shape)

    return init_fun, apply_fun


def GeneralConv(
    dimension_numbers: tuple[str, str, str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    W_init: Initializer | None = None,
    b_init: Initializer = CONV_BIAS,
) -> Pair:
    """Convolves along any number of axes, in any layout, and adds a bias.

    Args:
      dimension_numbers: the layouts of input, W and output, such as
        ("NHWC", "HWIO", "NHWC"); `Conv` is a `GeneralConv` with these.
      out_chan: channels of the output.
      filter_shape: the size of W on each spatial axis.
      strides: how far windows are apart on each; 1 when None.
      padding: "VALID", "SAME", or (before, after) for each spatial axis.
      W_init, b_init: initializers of `jax.nn.initializers`; Glorot's normal one when
        W_init is None.

    Returns:
      (init_fun, apply_fun) with params (W, b); b has as many axes as the output.

    Raises:
      LayerError: the input has another number of axes or channels.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.Conv(6, (5, 5), padding="SAME")
      >>> output_shape, (W, b) = init_fun(jax.random.key(0), (8, 28, 28, 1))
      >>> output_shape, W.shape, b.shape
      ((8, 28, 28, 6), (5, 5, 1, 6), (1, 1, 1, 6))

    Follows `jax.example_libraries.stax.GeneralConv`.
    """
    strides = strides or (1,) * len(filter_shape)
    return _convolution(
        "GeneralConv",
        functools.partial(
            lax.conv_general_dilated, window_strides=strides, padding=padding
        ),
        lambda shape, kernel: lax.conv_general_shape_tuple(
            shape, kernel, strides, padding, dimension_numbers
        ),
        (dimension_numbers, out_chan, filter_shape, strides, W_init, b_init),
    )


def GeneralConvTranspose(
    dimension_numbers: tuple[str, str, str],
    out_chan: int,
    filter_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    W_init: Initializer | None = None,
    b_init: Initializer = CONV_BIAS,
) -> Pair:
    """Convolves with fractional strides, as the gradient of a convolution does.

    Args:
      dimension_numbers: the layouts of input, W and output; `ConvTranspose` has
        ("NHWC", "HWIO", "NHWC"), and `Conv1DTranspose` ("NHC", "HIO", "NHC").
      out_chan, filter_shape, strides, padding, W_init, b_init: as in `GeneralConv`.

    Returns:
      (init_fun, apply_fun) with params (W, b); b has as many axes as the output.

    Raises:
      LayerError: the input has another number of axes or channels.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.ConvTranspose(6, (2, 2), strides=(2, 2))
      >>> init_fun(jax.random.key(0), (8, 7, 7, 1))[0]
      (8, 14, 14, 6)

    Follows `jax.example_libraries.stax.GeneralConvTranspose` and
    `jax.lax.conv_transpose`.
    """
    strides = strides or (1,) * len(filter_shape)
    return _convolution(
        "GeneralConvTranspose",
        functools.partial(lax.conv_transpose, strides=strides, padding=padding),
        lambda shape, kernel: lax.conv_transpose_shape_tuple(
            shape, kernel, strides, padding, dimension_numbers
        ),
        (dimension_numbers, out_chan, filter_shape, strides, W_init, b_init),
    )


Conv = functools.partial(GeneralConv, ("NHWC", "HWIO", "NHWC"))
ConvTranspose = functools.partial(GeneralConvTranspose, ("NHWC", "HWIO", "NHWC"))
Conv1DTranspose = functools.partial(GeneralConvTranspose, ("NHC", "HIO", "NHC"))


def _convolution(
    kind: str,
    convolve: Callable[..., jax.Array],
    shape_after: Callable[[Shape, Shape], Shape],
    settings: tuple[Any, ...],
) -> Pair:
    """What both kinds of convolution share: their params and their checks."""
    layouts, out_chan, filter_shape, strides, W_init, b_init = settings
    in_layout, weight_layout, out_layout = layouts
    name = f"{kind}({out_chan}, {tuple(filter_shape)})"
    if not len(filter_shape) == len(strides) == len(weight_layout) - 2:
        raise LayerError(
            f"{name}: expected a size and a stride for each of the "
            f"{len(weight_layout) - 2} spatial axes of {weight_layout}, got "
            f"filter_shape={filter_shape} and strides={strides}"
        )
    in_axis, out_axis = weight_layout.index("I"), weight_layout.index("O")
    make_weight = W_init or glorot_normal(in_axis, out_axis)

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        refuse_rank(name, in_layout, input_shape)
        sizes = {"I": input_shape[in_layout.index("C")], "O": out_chan}
        spatial = iter(filter_shape)
        kernel = [
            sizes[letter] if letter in sizes else next(spatial)
            for letter in weight_layout
        ]
        output_shape = tuple(map(int, shape_after(input_shape, kernel)))
        refuse_empty(name, out_layout, output_shape, input_shape)
        bias_shape = [out_chan if letter == "C" else 1 for letter in out_layout]
        weight_key, bias_key = jax.random.split(rng)
        weight, bias = make_weight(weight_key, kernel), b_init(bias_key, bias_shape)
        return output_shape, (weight, bias)

    def apply_fun(params: Any, inputs: Any, **kwargs: Any) -> Any:
        weight, bias = params
        refuse_rank(name, in_layout, inputs.shape)
        channels = inputs.shape[in_layout.index("C")]
        if channels != weight.shape[in_axis]:
            raise LayerError(
                f"{name}: expected {weight.shape[in_axis]} channels, as W "
                f"({weight_layout}) has {weight.shape}, got {channels} in an input "
                f"({in_layout}) of {inputs.shape}"
            )
        return convolve(inputs, weight, dimension_numbers=layouts) + bias

    return init_fun, apply_fun


def BatchNorm(
    axis: int | Sequence[int] = (0, 1, 2),
    epsilon: float = 1e-5,
    center: bool = True,
    scale: bool = True,
    beta_init: Initializer = zeros,
    gamma_init: Initializer = ones,
) -> Pair:
    """Subtracts the batch's mean and divides by its standard deviation.

    It keeps no running averages and does the same in evaluation, so that outputs
    depend on the whole batch there too; `lenetjax.batch_norm` differs.

    Args:
      axis: what means are taken over, numbers from 0 on.
      epsilon: added to the variance.
      center, scale: whether to add beta, and to multiply by gamma.
      beta_init, gamma_init: initializers of `jax.nn.initializers`.

    Returns:
      (init_fun, apply_fun) with params (beta, gamma), of the shape of the other axes,
      or () for one that is not wanted.

    Raises:
      LayerError: `axis` is negative.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.BatchNorm(axis=0)
      >>> output_shape, params = init_fun(jax.random.key(0), (2, 1))
      >>> apply_fun(params, jnp.array([[1.0], [3.0]])).round(3)
      Array([[-1.],
             [ 1.]], dtype=float32)

    Follows `jax.example_libraries.stax.BatchNorm`.
    """
    axes = tuple(np.atleast_1d(np.asarray(axis)).tolist())
    if any(number < 0 for number in axes):
        raise LayerError(f"BatchNorm: count axes from 0 on, got axis={axis}")

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        shape = tuple(size for i, size in enumerate(input_shape) if i not in axes)
        beta_key, gamma_key = jax.random.split(rng)
        beta = beta_init(beta_key, shape) if center else ()
        gamma = gamma_init(gamma_key, shape) if scale else ()
        return input_shape, (beta, gamma)

    def apply_fun(params: Any, x: Any, **kwargs: Any) -> Any:
        beta, gamma = params
        y = jax.nn.standardize(x, axes, epsilon=epsilon)
        if scale:
            y = jnp.expand_dims(gamma, axes) * y
        return y + jnp.expand_dims(beta, axes) if center else y

    return init_fun, apply_fun


def Dropout(rate: float, mode: str = "train") -> Pair:
    """Keeps each number with probability `rate`, divided by it, and zeroes the others.

    `rate` is the probability of keeping, as it is in `jax.example_libraries.stax`: that
    of `lenetjax.dropout` and of other libraries is 1 - rate.

    Args:
      rate: the probability of keeping a number.
      mode: "train"; with any other word, the layer gives back its input.

    Returns:
      (init_fun, apply_fun), without params; apply_fun needs ``rng=key`` in training.

    Raises:
      LayerError: `rate` is no probability, `mode` is no word, or, later, there is no
        rng in training.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from lenetjax.interop import stax
      >>> init_fun, apply_fun = stax.Dropout(0.9)
      >>> float(apply_fun((), jnp.ones(1000), rng=jax.random.key(0)).min())
      0.0

    Follows `jax.example_libraries.stax.Dropout`, which asks for rng in evaluation too.
    """
    if isinstance(rate, (int, float)) and not 0 <= rate <= 1:
        raise LayerError(f"Dropout: rate must be from 0 to 1, got {rate}")
    if not isinstance(mode, str):
        raise LayerError(f"Dropout: mode must be a word such as 'train', got {mode!r}")

    def init_fun(rng: Any, input_shape: Shape) -> Any:
        return input_shape, ()

    def apply_fun(params: Any, inputs: Any, *, rng: Any = None, **kwargs: Any) -> Any:
        if mode != "train":
            return inputs
        if rng is None:
            raise LayerError(
                f"Dropout({rate}) trains and got no random key: "
                "apply_fun(params, inputs, rng=jax.random.key(...))"
            )
        keep = jax.random.bernoulli(rng, rate, inputs.shape)
        return jnp.where(keep, inputs / rate, 0)

    return init_fun, apply_fun
