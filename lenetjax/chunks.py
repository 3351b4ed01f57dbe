"""A batch worked on in chunks that fit the processor's cache, with the same result."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lenetjax import cache
from lenetjax.core import Layer, LayerError, names_of
from lenetjax.functional.arguments import size as checked_size
from lenetjax.losses import cross_entropy

Means = Any  # a pytree of arrays

# Layers that work on each example by itself, whatever their settings.
SEPARATE = frozenset(
    f"{name}{rank}d"
    for name in ("conv", "max_pool", "avg_pool", "lp_pool")
    for rank in (1, 2, 3)
) | {"linear", "serial", "residual", "relu", "relu6", "tanh", "sigmoid", "gelu", "silu"}
FLATTEN = "flatten()"  # with other settings it may flatten the batch


def chunk_size(
    net: Layer, images: Any, loss: Callable[..., Any], asked: int | None
) -> int:
    """How many examples of a batch to work on at once.

    Where nothing is asked for, and the result is known to be the same: as many as fit
    the cache, on a CPU; otherwise all.

    Raises:
      LayerError: chunks are asked for, and the net works on a batch as a whole.
    """
    batch = len(jax.tree.leaves(images)[0])
    if asked is not None:
        _refuse_whole_batches(net, checked_size("chunk_size", asked))
        return min(asked, batch)
    if loss is not cross_entropy or not _works_on_each_apart(net):
        return batch
    most = cache.at_once(batch, cache.output_bytes(net.plan(images)), of=batch)
    divisors = (n for n in range(most, most // 2, -1) if batch % n == 0)
    return next(divisors, most)


def mean_over_chunks(function: Callable[[Any], Means], batch: Any, size: int) -> Means:
    """Computes the means over a batch from those over its chunks, one by one.

    Args:
      function: from a chunk to a pytree of means over the chunk's examples.
      batch: a pytree of arrays with the same first axis.
      size: examples in a chunk; what remains is the last one.
    """
    total = len(jax.tree.leaves(batch)[0])
    if total <= size:
        return function(batch)
    count = total // size
    chunks = jax.tree.map(
        lambda a: a[: count * size].reshape(count, size, *a.shape[1:]), batch
    )
    function = jax.jit(function)  # traced once for all that follows
    shapes = jax.eval_shape(function, jax.tree.map(lambda a: a[0], chunks))
    # Summed in float32 at least: of many small terms bfloat16 would lose the last.
    zeros = jax.tree.map(
        lambda a: jnp.zeros(a.shape, jnp.promote_types(a.dtype, jnp.float32)), shapes
    )

    def add(sums: Means, chunk: Any) -> tuple[Means, None]:
        return jax.tree.map(jnp.add, sums, function(chunk)), None

    sums, _ = lax.scan(add, zeros, chunks)
    sums = jax.tree.map(lambda a: a * (size / total), sums)
    rest = total - count * size
    if rest:
        last = function(jax.tree.map(lambda a: a[count * size :], batch))
        sums = jax.tree.map(lambda a, b: a + b * (rest / total), sums, last)
    return jax.tree.map(lambda a, like: a.astype(like.dtype), sums, shapes)


def _works_on_each_apart(net: Layer) -> bool:
    return all(
        layer.kind in SEPARATE or layer.text == FLATTEN for _, layer in net.walk()
    )


def _refuse_whole_batches(net: Layer, size: int) -> None:
    owners = names_of(net, lambda layer: bool(layer.needs & {"state", "key"}))
    if owners:
        raise LayerError(
            f"chunk_size={size}: {owners} works on the batch as a whole, and "
            "chunks would change the result; leave chunk_size out"
        )
