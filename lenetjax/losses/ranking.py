"""Losses that compare examples: which is larger, which are alike."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax.core import LayerError
from lenetjax.losses.checks import (
    absolute,
    check_pair,
    check_shape,
    no_sign,
    number,
    result_dtype,
    spoil,
    widened,
    wrong_values,
)
from lenetjax.losses.reduction import Reduction, reduce

# PyTorch's, added to each square of a norm in `cosine_embedding`, and a float32 there
NORM_EPS = float(np.float32(1e-12))


@jax.named_scope("margin_ranking")
def margin_ranking(
    first: jax.Array,
    second: jax.Array,
    targets: jax.Array,
    *,
    margin: float = 0.0,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes ``max(0, margin - targets * (first - second))``.

    Args:
      first, second: scores to compare, any shape, floating.
      targets: the same shape; 1 where the first should be larger, or -1.
      margin: by how much it should be larger.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or the inputs' shape for "none"; NaN for a target that is neither 1
      nor -1 under `jax.jit`.

    Raises:
      LayerError: the shapes differ, a setting is wrong, or (outside of `jax.jit`) a
        target is neither 1 nor -1.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> nn.losses.margin_ranking(jnp.ones(2), jnp.zeros(2), jnp.array([1, -1]))
      Array(0.5, dtype=float32)

    Follows `torch.nn.MarginRankingLoss`, whose targets may be any numbers.
    """
    margin = number("margin_ranking", "margin", margin)
    check_pair("margin_ranking", {"first": first, "second": second}, targets=targets)
    wrong = wrong_values("margin_ranking", "targets", targets, no_sign, "1 or -1")
    a, b, t = widened(first, second, targets)
    losses = _hinge(margin - t * spoil(a - b, wrong))
    return reduce(losses, reduction, result_dtype(first, second, targets))


@jax.named_scope("hinge_embedding")
def hinge_embedding(
    distances: jax.Array,
    targets: jax.Array,
    *,
    margin: float = 1.0,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes the distance of pairs that are alike, and what others lack of `margin`.

    Args:
      distances: any shape, floating.
      targets: the same shape; 1 where the pair is alike, or -1.
      margin: the distance from which pairs that differ cost nothing.
      reduction: "mean" over all values, "sum", or "none" for one loss per value.

    Returns:
      A scalar, or the inputs' shape for "none"; NaN for a target that is neither 1
      nor -1 under `jax.jit`.

    Raises:
      LayerError: the shapes differ, a setting is wrong, or (outside of `jax.jit`) a
        target is neither 1 nor -1.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> distances = jnp.array([0.75, 0.75])
      >>> nn.losses.hinge_embedding(distances, jnp.array([1, -1]), reduction="none")
      Array([0.75, 0.25], dtype=float32)

    Follows `torch.nn.HingeEmbeddingLoss`, whose targets may be any numbers.
    """
    margin = number("hinge_embedding", "margin", margin)
    check_pair("hinge_embedding", {"distances": distances}, targets=targets)
    wrong = wrong_values("hinge_embedding", "targets", targets, no_sign, "1 or -1")
    d, t = widened(distances, targets)
    d = spoil(d, wrong)
    losses = jnp.where(t == 1, d, _hinge(margin - d))
    return reduce(losses, reduction, result_dtype(distances, targets))


@jax.named_scope("cosine_embedding")
def cosine_embedding(
    first: jax.Array,
    second: jax.Array,
    targets: jax.Array,
    *,
    margin: float = 0.0,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes ``1 - cos`` of pairs that are alike, and ``max(0, cos - margin)``.

    Args:
      first, second: vectors (..., features), floating.
      targets: (...); 1 where the pair is alike, or -1.
      margin: the cosine up to which pairs that differ cost nothing, from -1 to 1.
      reduction: "mean" over all pairs, "sum", or "none" for one loss per pair.

    Returns:
      A scalar, or (...) for "none"; NaN for a target that is neither 1 nor -1 under
      `jax.jit`. The cosine with a vector of zeros is zero.

    Raises:
      LayerError: shapes or settings do not fit, or (outside of `jax.jit`) a target is
        neither 1 nor -1.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> a, b = jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 1.0]])
      >>> nn.losses.cosine_embedding(a, b, jnp.array([1]))
      Array(1., dtype=float32)

    Follows `torch.nn.CosineEmbeddingLoss`, with the features on the last axis. There
    a target that is neither 1 nor -1 costs nothing.
    """
    margin = number("cosine_embedding", "margin", margin, least=-1)
    if margin > 1:
        raise LayerError(f"cosine_embedding: margin must be at most 1, got {margin!r}")
    check_pair("cosine_embedding", {"first": first, "second": second})
    _check_features("cosine_embedding", first)
    check_shape("cosine_embedding", "targets", targets, first.shape[:-1])
    wrong = wrong_values("cosine_embedding", "targets", targets, no_sign, "1 or -1")
    # not optax's: it bounds the norms from below, and gives other gradients near zero
    a, b, t = widened(first, second, targets)
    squares = [(v * v).sum(-1) + NORM_EPS for v in (a, b)]
    cos = (a * b).sum(-1) / (jnp.sqrt(squares[0]) * jnp.sqrt(squares[1]))
    cos = spoil(cos, wrong)
    losses = jnp.where(t == 1, 1 - cos, _hinge(cos - margin))
    return reduce(losses, reduction, result_dtype(first, second, targets))


@jax.named_scope("triplet_margin")
def triplet_margin(
    anchor: jax.Array,
    positive: jax.Array,
    negative: jax.Array,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: Reduction = "mean",
) -> jax.Array:
    """Computes what the negative lacks of being `margin` farther than the positive.

    It is ``max(0, d(anchor, positive) - d(anchor, negative) + margin)``, where ``d``
    is the p-norm of the difference.

    Args:
      anchor, positive, negative: vectors (..., features), floating, of one shape.
      margin: by how much farther the negative should be.
      p: which norm, over 0; ``math.inf`` takes the largest difference.
      eps: is added to each difference.
      swap: whether to take the negative's distance to the positive where it is less.
      reduction: "mean" over all triplets, "sum", or "none" for one loss per triplet.

    Returns:
      A scalar, or (...) for "none".

    Raises:
      LayerError: the shapes differ, or a setting is wrong.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> a = jnp.zeros((1, 2))
      >>> nn.losses.triplet_margin(a, a + 3, a + 1, p=1, eps=0)
      Array(5., dtype=float32)

    Follows `torch.nn.TripletMarginLoss`, which wants a margin over 0.
    Balntas et al., "Learning local feature descriptors with triplets and shallow
    convolutional neural networks", 2016.
    """
    margin = number("triplet_margin", "margin", margin)
    p = number("triplet_margin", "p", p, least=0, over=True)
    eps = number("triplet_margin", "eps", eps, least=0)
    floats = {"anchor": anchor, "positive": positive, "negative": negative}
    check_pair("triplet_margin", floats)
    _check_features("triplet_margin", anchor)
    # not optax's: its eps stands under the root, and it has no swap
    a, same, other = widened(anchor, positive, negative)
    near, far = _norm(a - same + eps, p), _norm(a - other + eps, p)
    if swap:
        far = jnp.minimum(far, _norm(same - other + eps, p))
    losses = _hinge(margin + near - far)
    return reduce(losses, reduction, result_dtype(anchor, positive, negative))


def _norm(x: jax.Array, p: float) -> jax.Array:
    """The p-norm over the last axis, with gradient zero where it is zero."""
    size = absolute(x)
    if p == 1:
        return size.sum(-1)
    if math.isinf(p):
        return size.max(-1)
    zero = size == 0
    total = jnp.where(zero, 0, jnp.where(zero, 1, size) ** p).sum(-1)
    none = total == 0
    return jnp.where(none, 0, jnp.where(none, 1, total) ** (1 / p))


def _hinge(x: jax.Array) -> jax.Array:
    """What is over zero; at zero the gradient is one, and NaN stays."""
    return jnp.where(x < 0, 0, x)


def _check_features(loss: str, vectors: jax.Array) -> None:
    if vectors.ndim == 0 or vectors.shape[-1] == 0:
        raise LayerError(
            f"{loss}: expected vectors (..., features) with at least one feature, got "
            f"the shape {vectors.shape}"
        )
