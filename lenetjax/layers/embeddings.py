"""Layers that give vectors to integers and to positions."""

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer, normal

from lenetjax import functional
from lenetjax.core import Layer, LayerError, Params, layer, no_params
from lenetjax.functional.arguments import size
from lenetjax.functional.embeddings import (
    check_base,
    check_heads,
    check_integers,
    check_sequence,
    padding_row,
)
from lenetjax.specs import shapes_text


def embedding(
    num_embeddings: int,
    features: int,
    *,
    padding_idx: int | None = None,
    dtype: str = "float32",
    weight_init: Initializer | None = None,
) -> Layer:
    """Gives each integer a learned vector.

    Args:
      num_embeddings: how many integers there are.
      features: the size of each vector.
      padding_idx: an integer whose vector starts at zero and gets no gradient,
        counted from the end if negative.
      dtype: the name of the weight's dtype.
      weight_init: a `jax.nn.initializers`; normal with variance one when None.

    Input: any shape, ints from 0 to ``num_embeddings - 1``.
    Output: the same shape with an axis of features added, in the weight's dtype.
      Under `jax.jit`, where values cannot be refused, an integer out of range gives
      NaN.
    Params: weight (num_embeddings, features), in dtype.

    Raises:
      LayerError: a size is no positive int, padding_idx is out of range, or dtype is
        no floating one; later, x is not of ints, or (outside of `jax.jit`) an integer
        is out of range. A negative one is.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> words = jnp.array([[3, 1, 0], [4, 0, 0]])
      >>> layer = nn.embedding(5, 8, padding_idx=0)
      >>> params = layer.init(jax.random.key(0), words)
      >>> layer.apply(params, words).shape
      (2, 3, 8)

    Follows `torch.nn.Embedding`.
    """
    size("num_embeddings", num_embeddings)
    size("features", features)
    if padding_idx is not None:
        padding_row(padding_idx, num_embeddings)
    dtype = _floating_name(dtype)

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check_integers(x)
        if jax.dtypes.canonicalize_dtype(dtype) != dtype:
            raise LayerError(f"{dtype} params need jax.config jax_enable_x64")
        weight = (weight_init or normal(1.0))(
            key, (num_embeddings, features), jnp.dtype(dtype)
        )
        if padding_idx is not None:
            weight = weight.at[padding_row(padding_idx, num_embeddings)].set(0)
        return {"weight": weight}

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return functional.embedding(x, params["weight"], padding_idx=padding_idx)

    settings = {
        "num_embeddings": num_embeddings,
        "features": features,
        "padding_idx": padding_idx,
        "dtype": dtype,
    }
    return layer(embedding, init, apply, settings=settings)


def learned_positions(
    max_length: int | None = None, *, weight_init: Initializer | None = None
) -> Layer:
    """Adds a learned vector to each position of a sequence.

    Args:
      max_length: the number of positions that have a vector; when None, the length
        of the example that `init` gets, which all sequences then have.
      weight_init: a `jax.nn.initializers`; normal with variance one when None, as in
        `torch.nn.Embedding`. Many models start smaller: `normal(0.02)`.

    Input: (batch, length, features), floating, length at most max_length.
    Output: the same shape, in the dtype that x and the params promote to.
    Params: weight (max_length or length, features), in x's dtype.

    Raises:
      LayerError: max_length is no positive int; later, x does not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> layer = nn.learned_positions(16)
      >>> params = layer.init(jax.random.key(0), jnp.zeros((2, 5, 8)))
      >>> params["weight"].shape
      (16, 8)

    Reference: Gehring et al., "Convolutional Sequence to Sequence Learning", 2017.
    """
    if max_length is not None:
        size("max_length", max_length)

    def init(key: jax.Array, x: jax.ShapeDtypeStruct) -> Params:
        check_sequence("x", x)
        shape = (x.shape[1] if max_length is None else max_length, x.shape[-1])
        return {"weight": (weight_init or normal(1.0))(key, shape, x.dtype)}

    def apply(params: Params, x: jax.Array) -> jax.Array:
        check_sequence("x", x)
        length = x.shape[1]
        if max_length is not None and length > max_length:
            raise LayerError(
                f"expected at most {max_length} positions, got {length} in "
                f"{shapes_text(x)}; use a larger max_length"
            )
        weight = jnp.broadcast_to(params["weight"][:length], x.shape)
        return x + weight

    settings = {"max_length": max_length}
    return layer(learned_positions, init, apply, settings=settings)


def sinusoidal_positions(*, base: float = 10000.0) -> Layer:
    """Adds a fixed vector of sines and cosines to each position of a sequence.

    Args:
      base: how much longer the longest period is than the shortest, nearly.

    Input: (batch, length, features), floating.
    Output: the same shape and dtype.

    Raises:
      LayerError: base is not positive; later, x does not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.sinusoidal_positions().apply({}, jnp.zeros((1, 2, 2)))
      Array([[[0.        , 1.        ],
              [0.84147096, 0.5403023 ]]], dtype=float32)

    Reference: Vaswani et al., "Attention Is All You Need", 2017, section 3.5.
    """
    check_base(base)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        check_sequence("x", x)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        table = functional.sinusoidal_table(*x.shape[1:], base=base).astype(wide)
        return (x.astype(wide) + jnp.broadcast_to(table, x.shape)).astype(x.dtype)

    settings = {"base": base}
    return layer(sinusoidal_positions, no_params, apply, settings=settings)


def rotary_positions(*, base: float = 10000.0) -> Layer:
    """Rotates each head's features by angles that grow with the position.

    Feature ``i`` of the first half turns with feature ``i`` of the second half, by
    ``position / base ** (2 i / head_features)``: the convention of GPT-NeoX and Llama
    ("rotate half"). Attention does this to its queries and keys with `rotary=True`.

    Args:
      base: how much longer the longest period is than the shortest, nearly.

    Input: (batch, length, heads, head_features), floating, head_features even.
    Output: the same shape and dtype.

    Raises:
      LayerError: base is not positive; later, x does not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.rotary_positions().apply({}, jnp.ones((1, 2, 1, 2)))[0, :, 0]
      Array([[ 1.        ,  1.        ],
             [-0.30116868,  1.3817732 ]], dtype=float32)

    Reference: Su et al., "RoFormer", 2021.
    """
    check_base(base)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        check_heads("x", x)
        return functional.rotary(x, base=base)

    return layer(rotary_positions, no_params, apply, settings={"base": base})


def _floating_name(dtype: str) -> str:
    try:
        name = jnp.dtype(dtype).name
    except TypeError:
        name = None
    if name is None or not jnp.issubdtype(name, jnp.floating):
        raise LayerError(
            f"dtype must be the name of a floating dtype, such as 'float32', "
            f"got {dtype!r}"
        )
    return name
