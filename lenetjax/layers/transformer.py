"""The block that transformers are stacked from."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
from jax.nn.initializers import Initializer

from lenetjax import functional
from lenetjax.core import Layer, LayerError, Params, PyTree, layer
from lenetjax.functional.arguments import choice, fraction, not_negative, size
from lenetjax.functional.embeddings import check_sequence
from lenetjax.layers.initial import (
    attention_params,
    head_features,
    scale_and_shift,
    weight_and_bias,
)
from lenetjax.specs import shapes_text

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
}


def transformer_encoder_block(
    heads: int,
    *,
    hidden: int,
    activation: Literal["relu", "gelu"] = "relu",
    norm_first: bool = False,
    dropout: float = 0.1,
    eps: float = 1e-5,
    causal: bool = False,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
) -> Layer:
    """Adds attention to its input, and then what two linear maps make of each position.

    Args:
      heads: the number of attention heads; it divides the input's features.
      hidden: the number of features between the two linear maps.
      activation: what stands between them: "relu", or "gelu", the exact one.
      norm_first: whether to normalize what goes into attention and into the linear
        maps, instead of each sum that comes out.
      dropout: the probability, in training, of zeroing attention's weights, what the
        activation makes, and each value before it is added.
      eps: added to the variances that the normalization divides by.
      causal: whether position i may attend to positions 0 to i alone.
      weight_init, bias_init: `jax.nn.initializers` for all linear maps; when None,
        those of `multi_head_attention` and `linear`.

    Input: (batch, length, features), floating. Or a dict: x, such an array; mask, bools
      (batch, heads, length, length) of which any axis may be 1, true where a position
      may attend to another.
    Output: the same shape and dtype; for a dict, the dict with the new x, so that
      blocks stack.
    Params: attention, as in `multi_head_attention`; norm1, norm2: weight and bias
      (features,), start at one and zero; linear1: weight (features, hidden), bias
      (hidden,); linear2: weight (hidden, features), bias (features,); in x's dtype.

    Raises:
      LayerError: a size is no positive int, dropout is out of range, eps negative or
        the activation unknown; later, the input does not fit, or heads does not
        divide its features.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> x = jnp.ones((2, 5, 8))
      >>> layer = nn.transformer_encoder_block(4, hidden=16)
      >>> params = layer.init(jax.random.key(0), x)
      >>> layer.apply(params, x).shape
      (2, 5, 8)

    Reference: Vaswani et al., "Attention Is All You Need", 2017. Follows
    `torch.nn.TransformerEncoderLayer(batch_first=True)`; the dict's mask is the
    opposite of PyTorch's boolean masks.
    """
    size("heads", heads)
    size("hidden", hidden)
    choice("activation", activation, tuple(ACTIVATIONS))
    fraction("dropout", dropout)
    not_negative("eps", eps)

    def init(key: jax.Array, x: PyTree) -> Params:
        x = _inputs(x)["x"]
        features, dtype = x.shape[-1], x.dtype
        head_features(features, heads)
        linear_params = functools.partial(
            weight_and_bias,
            dtype=dtype,
            bias=True,
            weight_init=weight_init,
            bias_init=bias_init,
        )
        norm_params = functools.partial(
            scale_and_shift,
            shape=(features,),
            dtype=dtype,
            weight_init=None,
            bias_init=None,
        )
        keys = jax.random.split(key, 5)
        return {
            "attention": attention_params(
                keys[0],
                [features] * 3,
                features,
                features,
                dtype,
                bias=True,
                weight_init=weight_init,
                bias_init=bias_init,
            ),
            "norm1": norm_params(keys[3]),
            "linear1": linear_params(keys[1], (features, hidden)),
            "linear2": linear_params(keys[2], (hidden, features)),
            "norm2": norm_params(keys[4]),
        }

    def apply(
        params: Params, x: PyTree, *, key: jax.Array | None = None, train: bool = False
    ) -> PyTree:
        given = _inputs(x)
        keys = jax.random.split(key, 4) if key is not None and train else [None] * 4

        def drop(y: jax.Array, key: jax.Array | None) -> jax.Array:
            return y if key is None else functional.dropout(y, dropout, key)

        def attend(y: jax.Array) -> jax.Array:
            y = functional.multi_head_attention(
                y,
                y,
                y,
                params["attention"],
                heads=heads,
                mask=given.get("mask"),
                causal=causal,
                dropout_rate=dropout if train else 0.0,
                dropout_key=keys[0],
            )
            return drop(y, keys[1])

        def feed_forward(y: jax.Array) -> jax.Array:
            y = ACTIVATIONS[activation](functional.linear(y, **params["linear1"]))
            y = functional.linear(drop(y, keys[2]), **params["linear2"])
            return drop(y, keys[3])

        def normalize(y: jax.Array, name: str) -> jax.Array:
            return functional.layer_norm(y, **params[name], eps=eps)

        y = given["x"]
        for part, norm in ((attend, "norm1"), (feed_forward, "norm2")):
            if norm_first:
                y = y + part(normalize(y, norm))
            else:
                y = normalize(y + part(y), norm)
        return {**given, "x": y} if isinstance(x, Mapping) else y

    settings = {
        "heads": heads,
        "hidden": hidden,
        "activation": activation,
        "norm_first": norm_first,
        "dropout": dropout,
        "eps": eps,
        "causal": causal,
    }
    return layer(
        transformer_encoder_block,
        init,
        apply if dropout > 0 else lambda params, x: apply(params, x),
        settings=settings,
    )


def _inputs(x: PyTree) -> dict[str, Any]:
    """The x, and the mask if there is one."""
    given = dict(x) if isinstance(x, Mapping) else {"x": x}
    given = {name: entry for name, entry in given.items() if entry is not None}
    if "x" not in given or set(given) - {"x", "mask"}:
        raise LayerError(
            f"expected an array, or a dict with 'x' and perhaps 'mask', "
            f"got {shapes_text(x)}"
        )
    check_sequence("x", given["x"])
    return given
