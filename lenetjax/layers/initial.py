"""Initial values of layers with a weight and a bias; PyTorch's by default."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer, ones, variance_scaling, zeros

from lenetjax.core import LayerError, Params


def uniform_fan_in(fan_in: int) -> Initializer:
    """Draws uniformly from ±1/sqrt(fan_in), as PyTorch does for linear and convolution.

    Reference: `torch.nn.Linear` and `torch.nn.Conv2d`, sections "Variables".
    """
    bound = 1 / math.sqrt(fan_in)

    def init(
        key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype | None = None
    ) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init  # type: ignore[return-value]


def weight_and_bias(
    key: jax.Array,
    shape: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
    *,
    fan_in: int | None = None,
    features: int | None = None,
) -> Params:
    """Draws a weight and, if asked for, a bias.

    The weight is (..., in, out) and the bias (out,), unless `fan_in` and `features`
    say that the weight's axes mean something else.
    """
    default = uniform_fan_in(fan_in or math.prod(shape[:-1]) or 1)
    weight_key, bias_key = jax.random.split(key)
    params = {"weight": (weight_init or default)(weight_key, shape, dtype)}
    if bias:
        params["bias"] = (bias_init or default)(
            bias_key, (features or shape[-1],), dtype
        )
    return params


def scale_and_shift(
    key: jax.Array,
    shape: tuple[int, ...],
    dtype: jax.typing.DTypeLike,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Params:
    """Makes the params of a normalization, which change nothing at the start."""
    weight_key, bias_key = jax.random.split(key)
    return {
        "weight": (weight_init or ones)(weight_key, shape, dtype),
        "bias": (bias_init or zeros)(bias_key, shape, dtype),
    }


def attention_params(
    key: jax.Array,
    sizes: Sequence[int],
    features: int,
    key_features: int,
    dtype: jax.typing.DTypeLike,
    *,
    bias: bool,
    weight_init: Initializer | None,
    bias_init: Initializer | None,
) -> Params:
    """Draws the maps of query, key, value and output, as PyTorch's attention does.

    `sizes` are those of the query, the key and the value that come in; `features` and
    `key_features` count all heads together. Where the three sizes are equal, PyTorch
    draws the three weights as one.
    """
    shapes = {
        "query": (sizes[0], features),
        "key": (sizes[1], key_features),
        "value": (sizes[2], key_features),
        "output": (features, features),
    }
    as_one = len(set(sizes)) == 1
    defaults = {
        name: xavier_uniform(*shape, features + 2 * key_features if as_one else None)
        for name, shape in shapes.items()
        if name != "output"
    }
    keys = dict(zip(shapes, jax.random.split(key, 4), strict=True))
    return {
        name: weight_and_bias(
            keys[name],
            shape,
            dtype,
            bias,
            weight_init or defaults.get(name),
            bias_init or zeros,
        )
        for name, shape in shapes.items()
    }


def xavier_uniform(rows: int, columns: int, all_columns: int | None) -> Initializer:
    """Draws as part of a larger weight, of `all_columns` columns, would be drawn."""
    scale = (rows + columns) / (rows + (all_columns or columns))
    return variance_scaling(scale, "fan_avg", "uniform")


def head_features(features: int, heads: int, *, even: bool = False) -> int:
    """Divides features among heads.

    Raises:
      LayerError: it does not come out even, or each head's number must be and is not.
    """
    if features < heads or features % heads:
        raise LayerError(f"heads={heads} must divide the {features} features")
    if even and features // heads % 2:
        raise LayerError(
            "rotary=True needs heads with an even number of features, got "
            f"{features} features for {heads} heads"
        )
    return features // heads
