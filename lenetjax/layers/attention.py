"""Multi-head attention."""

from collections.abc import Mapping
from typing import Any

import jax
from jax.nn.initializers import Initializer

from lenetjax import functional
from lenetjax.core import Layer, LayerError, Params, PyTree, layer
from lenetjax.functional.arguments import fraction, size
from lenetjax.functional.embeddings import check_sequence
from lenetjax.layers.initial import attention_params, head_features
from lenetjax.specs import shapes_text


def multi_head_attention(
    heads: int,
    *,
    features: int | None = None,
    kv_heads: int | None = None,
    causal: bool = False,
    rotary: bool = False,
    dropout: float = 0.0,
    bias: bool = True,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Lets each position of a sequence gather from the positions it attends to.

    Queries, keys and values are linear maps of the input, cut into heads; each head
    averages values by how well keys fit a query, and a last linear map mixes the
    heads.

    Args:
      heads: the number of heads; it divides features.
      features: the size of the output, and of all heads together; the query's when
        None.
      kv_heads: the number of heads that keys and values have, a divisor of heads
        (grouped-query attention); heads when None.
      causal: whether query i may attend to keys 0 to i alone.
      rotary: whether to rotate queries and keys by their positions, as
        `functional.rotary` does.
      dropout: the probability, in training, that a query loses sight of a key.
      bias: whether the linear maps add a bias.
      weight_init, bias_init: `jax.nn.initializers` for all four maps. When None,
        biases start at zero, the output's weight as in `linear`, and the others as
        Xavier's uniform: that of one matrix which makes query, key and value at
        once, where all three are made from the same number of features.

    Input: (batch, length, features), floating, which attends to itself. Or a dict:
      query (batch, queries, features); key (batch, keys, any size), the query when
      left out; value (batch, keys, any size), the key when left out; mask, bools
      (batch, heads, queries, keys) of which any axis may be 1, true where a query may
      attend to a key.
    Output: (batch, queries, features), in the dtype that input and params promote to.
      A query that may attend to nothing gets the output's bias.
    Params: query, key, value, output: for each, weight (in, out) and bias (out,), in
      the query's dtype.

    Raises:
      LayerError: a size is no positive int or no divisor, or dropout is out of range;
        later, the input does not fit, or heads does not divide features.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x, memory = jnp.ones((2, 5, 8)), jnp.ones((2, 7, 6))
      >>> layer = nn.multi_head_attention(4)
      >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
      (2, 5, 8)
      >>> cross = {"query": x, "key": memory, "mask": jnp.ones((2, 1, 1, 7), bool)}
      >>> layer.apply(layer.init(jax.random.key(0), cross), cross).shape
      (2, 5, 8)

    Reference: Vaswani et al., "Attention Is All You Need", 2017; Ainslie et al.,
    "GQA", 2023. Follows `torch.nn.MultiheadAttention(batch_first=True)`, with a weight
    each for query, key and value, transposed. PyTorch's boolean masks are the
    opposite: true where a query may *not* attend.
    """
    size("heads", heads)
    key_heads = heads if kv_heads is None else size("kv_heads", kv_heads)
    if heads % key_heads:
        raise LayerError(f"kv_heads={kv_heads} must divide heads={heads}")
    if features is not None:
        head_features(size("features", features), heads, even=rotary)
    fraction("dropout", dropout)

    def init(key: jax.Array, x: PyTree) -> Params:
        given = _inputs(x)
        total = features or given["query"].shape[-1]
        return attention_params(
            key,
            [given[name].shape[-1] for name in ("query", "key", "value")],
            total,
            key_heads * head_features(total, heads, even=rotary),
            given["query"].dtype,
            bias=bias,
            weight_init=weight_init,
            bias_init=bias_init,
        )

    def apply(
        params: Params, x: PyTree, *, key: jax.Array | None = None, train: bool = False
    ) -> jax.Array:
        given = _inputs(x)
        return functional.multi_head_attention(
            given["query"],
            given["key"],
            given["value"],
            params,
            heads=heads,
            kv_heads=key_heads,
            rotate=rotary,
            mask=given.get("mask"),
            causal=causal,
            dropout_rate=dropout if train else 0.0,
            dropout_key=key,
        )

    settings = {
        "heads": heads,
        "features": features,
        "kv_heads": kv_heads,
        "causal": causal,
        "rotary": rotary,
        "dropout": dropout,
        "bias": bias,
    }
    return layer(
        multi_head_attention,
        init,
        apply if dropout > 0 else lambda params, x: apply(params, x),
        settings=settings,
    )


def _inputs(x: PyTree) -> dict[str, Any]:
    """Query, key and value, and the mask if there is one."""
    given = dict(x) if isinstance(x, Mapping) else {"query": x}
    given = {name: entry for name, entry in given.items() if entry is not None}
    if "query" not in given or set(given) - {"query", "key", "value", "mask"}:
        raise LayerError(
            "expected an array, or a dict with 'query' and perhaps 'key', 'value' and "
            f"'mask', got {shapes_text(x)}"
        )
    given.setdefault("key", given["query"])
    given.setdefault("value", given["key"])
    for name in ("query", "key", "value"):
        check_sequence(name, given[name])
    if (
        given["key"].shape[:2] != given["value"].shape[:2]
        or given["key"].shape[0] != given["query"].shape[0]
    ):
        raise LayerError(
            "expected one batch size for query, key and value, and one length for key "
            f"and value, got {shapes_text(given)}"
        )
    return given
