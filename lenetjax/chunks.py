"""A batch worked on in parts, with the same result: by devices, in a cache's chunks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lenetjax import cache, spreading
from lenetjax.core import Layer, LayerError, names_of
from lenetjax.functional.arguments import size as checked_size
from lenetjax.losses import cross_entropy

Means = Any  # a pytree of arrays
Outputs = Any  # a pytree of arrays with the batch first

# Layers that work on each example by itself, whatever their settings.
SEPARATE = frozenset(
    f"{name}{rank}d"
    for name in ("conv", "max_pool", "avg_pool", "lp_pool")
    for rank in (1, 2, 3)
) | {"linear", "serial", "residual", "relu", "relu6", "tanh", "sigmoid", "gelu", "silu"}
FLATTEN = "flatten()"  # with other settings it may flatten the batch


def mean_over_parts(
    net: Layer,
    loss: Callable[..., Any],
    function: Callable[[Any], Means],
    batch: Any,
    asked: int | None,
) -> Means:
    """Computes the means over a batch, in parts where the result is the same.

    Args:
      net: whose layers decide whether it is.
      loss: its loss.
      function: from a part of the batch to a pytree of means over its examples.
      batch: images and labels.
      asked: examples in a chunk; None leaves that open.

    Raises:
      LayerError: chunks are asked for, and the net works on a batch as a whole.
    """

    def mean(part: Any) -> Means:
        size = chunk_size(net, part[0], loss, asked)
        return mean_over_chunks(function, part, size)

    if asked is None and not (loss is cross_entropy and _works_on_each_apart(net)):
        return function(batch)
    return spreading.mean_over_devices(mean, batch)


def chunk_size(
    net: Layer, images: Any, loss: Callable[..., Any], asked: int | None
) -> int:
    """How many examples of a batch to work on at once.

    Where nothing is asked for, and the result is known to be the same: as many as fit
    the cache, on a CPU; otherwise all.

    Raises:
      LayerError: chunks are asked for, and the net works on a batch as a whole.
    """
    batch: int = jax.tree.leaves(images)[0].shape[0]
    if asked is not None:
        _refuse_whole_batches(net, checked_size("chunk_size", asked))
        return min(asked, batch)
    return _fitting(net, images, 1) if loss is cross_entropy else batch


def outputs_by_chunks(
    net: Layer, function: Callable[[Any], Outputs], images: Any
) -> Outputs:
    """Computes outputs, one for each example, as many at a time as fit the cache.

    For use without a gradient: nothing is kept, so twice as many fit as in training.
    """
    if not _works_on_each_apart(net):
        return function(images)
    return spreading.outputs_by_devices(
        lambda part: _outputs_by_chunks(net, function, part), images
    )


def _outputs_by_chunks(
    net: Layer, function: Callable[[Any], Outputs], images: Any
) -> Outputs:
    total = jax.tree.leaves(images)[0].shape[0]
    size = _fitting(net, images, 2)
    if total <= size:
        return function(images)
    function = jax.jit(function)  # traced once, unless there is a rest
    outputs = lax.map(function, _split(images, size))
    outputs = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), outputs)
    rest = total % size
    if rest:
        last = function(jax.tree.map(lambda a: a[-rest:], images))
        outputs = jax.tree.map(lambda *parts: jnp.concatenate(parts), outputs, last)
    return outputs


def mean_over_chunks(function: Callable[[Any], Means], batch: Any, size: int) -> Means:
    """Computes the means over a batch from those over its chunks, one by one.

    Args:
      function: from a chunk to a pytree of means over the chunk's examples.
      batch: a pytree of arrays with the same first axis.
      size: examples in a chunk; what remains is the last one.
    """
    total = jax.tree.leaves(batch)[0].shape[0]
    if total <= size:
        return function(batch)
    chunks = _split(batch, size)
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
    rest = total % size
    if rest:
        last = function(jax.tree.map(lambda a: a[-rest:], batch))
        sums = jax.tree.map(lambda a, b: a + b * (rest / total), sums, last)
    return jax.tree.map(lambda a, like: a.astype(like.dtype), sums, shapes)


def _split(batch: Any, size: int) -> Any:
    """The whole chunks of a batch, along a new first axis."""
    count = jax.tree.leaves(batch)[0].shape[0] // size
    return jax.tree.map(
        lambda a: a[: count * size].reshape(count, size, *a.shape[1:]), batch
    )


def _fitting(net: Layer, images: Any, caches: int) -> int:
    """How many examples fit so many caches; all, where chunks may change the result."""
    batch: int = jax.tree.leaves(images)[0].shape[0]
    if not _works_on_each_apart(net) or spreading.by_compiler():
        return batch
    most = cache.at_once(batch, cache.output_bytes(net.plan(images)), of=caches * batch)
    if most == batch:
        return batch
    divisors = (n for n in range(most, most // 2, -1) if batch % n == 0)
    return next(divisors, most)


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
