"""Attention as an array function."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from lenetjax.core import LayerError
from lenetjax.functional.arguments import fraction, same_dtype, size
from lenetjax.functional.dropout import dropout
from lenetjax.functional.embeddings import check_heads, check_sequence, rotary
from lenetjax.functional.linear import linear
from lenetjax.specs import shapes_text


@jax.named_scope("scaled_dot_product_attention")
def scaled_dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    mask: jax.Array | None = None,
    causal: bool = False,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Averages values, weighted by the softmax of ``query @ key / sqrt(features)``.

    Args:
      query: (batch, queries, heads, features), floating.
      key: (batch, keys, kv_heads, features). Where kv_heads is less than heads, it
        divides it, and each key and value head serves heads / kv_heads query heads
        that follow one another.
      value: (batch, keys, kv_heads, value_features).
      mask: bools (batch, heads, queries, keys), of which any axis may be 1; true
        where a query may attend to a key.
      causal: whether query i may attend to keys 0 to i alone.
      dropout_rate: the probability of zeroing a weight of the average.
      dropout_key: a `jax.random.key`, where dropout_rate is not 0; it is consumed.

    Returns:
      (batch, queries, heads, value_features), in the dtype that query, key and value
      promote to; the softmax is computed in at least float32. A query that may attend
      to nothing gets zeros, and gives zero gradients.

    Raises:
      LayerError: shapes or dtypes do not fit, the rate is out of range, or its key is
        missing.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x = jnp.arange(3.0).reshape(1, 3, 1, 1)
      >>> y = nn.functional.scaled_dot_product_attention(0 * x, x, x, causal=True)
      >>> y[0, :, 0, 0]
      Array([0. , 0.5, 1. ], dtype=float32)

    Reference: Vaswani et al., "Attention Is All You Need", 2017. Follows
    `torch.nn.functional.scaled_dot_product_attention`, with the heads on the axis
    before the last, and `enable_gqa=True`. For a query that may attend to nothing
    PyTorch gives zeros or NaN, depending on what it runs on.
    """
    _check_shapes(query, key, value)
    query, key, value = same_dtype(query, key, value)  # type: ignore[assignment]
    batch, queries, heads, features = query.shape
    keys, kv_heads = key.shape[1:3]
    groups = heads // kv_heads
    allowed = _allowed((batch, heads, queries, keys), mask, causal)
    wide = jnp.promote_types(query.dtype, jnp.float32)

    # Scaled scores would be rounded differently in the softmax's maximum and in its
    # exponent, where XLA fuses the scaling; large ones would end as NaN.
    query = query / math.sqrt(features)
    # Query head g * groups + i is (g, i) here, and key head g serves it.
    query = query.reshape(batch, queries, kv_heads, groups, features)
    scores = jnp.einsum("bqgif,bkgf->bgiqk", query, key, preferred_element_type=wide)
    scores = scores.reshape(batch, heads, queries, keys)
    weights = _softmax(scores, allowed)
    if fraction("dropout_rate", dropout_rate) > 0:
        if dropout_key is None:
            raise LayerError(
                "dropout_rate is not 0: give dropout_key=jax.random.key(...), "
                "another one at each step"
            )
        weights = dropout(weights, dropout_rate, dropout_key)
    weights = weights.reshape(batch, kv_heads, groups, queries, keys)
    weights = weights.astype(value.dtype)
    y = jnp.einsum("bgiqk,bkgf->bqgif", weights, value, preferred_element_type=wide)
    return y.reshape(batch, queries, heads, value.shape[3]).astype(value.dtype)


@jax.named_scope("multi_head_attention")
def multi_head_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    params: Mapping[str, Mapping[str, jax.Array]],
    *,
    heads: int,
    kv_heads: int | None = None,
    rotate: bool = False,
    mask: jax.Array | None = None,
    causal: bool = False,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """Maps query, key and value linearly, attends in each head, and maps the result.

    Args:
      query: (batch, queries, any size), floating.
      key: (batch, keys, any size).
      value: (batch, keys, any size).
      params: query, key, value and output; for each, weight (in, out) and perhaps
        bias (out,). What query, key and value give is cut into heads.
      heads: the number of heads of queries.
      kv_heads: the number of heads of keys and values; heads when None.
      rotate: whether to rotate queries and keys by their positions (`rotary`).
      mask, causal, dropout_rate, dropout_key: as in `scaled_dot_product_attention`.

    Returns:
      (batch, queries, out).

    Raises:
      LayerError: shapes or dtypes do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x = jnp.ones((2, 5, 4))
      >>> names = ("query", "key", "value", "output")
      >>> params = {name: {"weight": jnp.eye(4)} for name in names}
      >>> nn.functional.multi_head_attention(x, x, x, params, heads=2).shape
      (2, 5, 4)

    Reference: Vaswani et al., "Attention Is All You Need", 2017.
    """
    key_heads = heads if kv_heads is None else kv_heads
    query = _heads("query", query, params, heads)
    key = _heads("key", key, params, key_heads)
    value = _heads("value", value, params, key_heads)
    if rotate:
        query, key = rotary(query), rotary(key)
    y = scaled_dot_product_attention(
        query,
        key,
        value,
        mask=mask,
        causal=causal,
        dropout_rate=dropout_rate,
        dropout_key=dropout_key,
    )
    y = y.reshape(*y.shape[:2], y.shape[2] * y.shape[3])
    return linear(y, **params["output"])


def _heads(
    name: str,
    x: jax.Array,
    params: Mapping[str, Mapping[str, jax.Array]],
    heads: int,
) -> jax.Array:
    check_sequence(name, x)
    x = linear(x, **params[name])
    if x.shape[2] % size("heads", heads):
        raise LayerError(f"{heads} heads must divide the {x.shape[2]} features")
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads)


def _softmax(scores: jax.Array, allowed: jax.Array) -> jax.Array:
    """Zero where nothing in the row is allowed; there all is, lest it divide by 0."""
    idle = ~allowed.any(-1, keepdims=True)
    weights = jax.nn.softmax(scores, where=allowed | idle)
    return jnp.where(idle, 0, weights)


def _allowed(shape: tuple[int, ...], mask: jax.Array | None, causal: bool) -> jax.Array:
    """Which query may attend to which key: four axes, of which any may be 1."""
    allowed = jnp.ones((1, 1, 1, 1), bool)
    if causal:
        allowed = jnp.tril(jnp.ones((1, 1, *shape[2:]), bool))
    if mask is None:
        return allowed
    fits = len(getattr(mask, "shape", ())) == 4 and all(
        n in (1, size) for n, size in zip(mask.shape, shape, strict=True)
    )
    if not fits or mask.dtype != jnp.bool_:
        raise LayerError(
            f"expected a mask of bools (batch, heads, queries, keys), {shape} or 1 "
            f"along some of these axes, got {shapes_text(mask)}; it is true where a "
            "query may attend to a key"
        )
    return allowed & mask


def _check_shapes(query: jax.Array, key: jax.Array, value: jax.Array) -> None:
    for name, x in (("query", query), ("key", key), ("value", value)):
        check_heads(name, x)
        if 0 in x.shape[2:]:
            raise LayerError(
                f"expected {name} to have heads and features, got {shapes_text(x)}"
            )
    if (
        key.shape[:3] != value.shape[:3]
        or key.shape[0] != query.shape[0]
        or key.shape[3] != query.shape[3]
        or query.shape[2] % key.shape[2]
    ):
        raise LayerError(
            "expected query (batch, queries, heads, features), key (batch, keys, "
            "kv_heads, features) and value (batch, keys, kv_heads, value_features), "
            f"kv_heads a divisor of heads; got {shapes_text(query)}, "
            f"{shapes_text(key)} and {shapes_text(value)}"
        )
