"""Training in steps: the compiled step, evaluation and prediction."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lenetjax import chunks
from lenetjax.core import Layer, Params, State
from lenetjax.functional.arguments import size
from lenetjax.losses import cross_entropy
from lenetjax.scaling import loss_scale

Batch = tuple[Any, Any]  # images and labels
Metrics = dict[str, jax.Array]
Loss = Callable[[Any, Any], jax.Array]


class TrainState(NamedTuple):
    """All that changes in training; a plain pytree.

    `key` is where the random keys of the steps come from, each folded from the step's
    number; `step` counts the batches trained on.
    """

    params: Params
    state: State
    opt_state: optax.OptState
    step: jax.Array
    key: jax.Array


def train_state(
    net: Layer, optimizer: optax.GradientTransformation, key: jax.Array, x: Any
) -> TrainState:
    """Draws the params and makes the optimizer's state, ready for the first step.

    Args:
      net: any layer.
      optimizer: any optax optimizer.
      key: a `jax.random.key`; half of it draws the params, half goes to the steps.
      x: an example input, or its `jax.ShapeDtypeStruct`.

    Raises:
      LayerError: x does not fit the net.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> run = nn.train_state(
      ...     nn.linear(2), optax.sgd(0.1), jax.random.key(0), jnp.zeros((1, 3)))
      >>> run.params["weight"].shape, int(run.step)
      ((3, 2), 0)
    """
    init_key, step_key = jax.random.split(key)
    params, state = net.init_with_state(init_key, x)
    # Some optimizers start from the params themselves; the step donates both, and a
    # buffer cannot be donated twice.
    opt_state = jax.tree.map(jnp.copy, optimizer.init(params))
    return TrainState(params, state, opt_state, jnp.zeros((), jnp.int32), step_key)


def train_step(
    net: Layer,
    optimizer: optax.GradientTransformation,
    loss: Loss = cross_entropy,
    *,
    chunk_size: int | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Makes the compiled training step: gradient, optimizer and new state in one.

    Args:
      net: any layer.
      optimizer: any optax optimizer.
      loss: ``loss(outputs, labels)``, a scalar.
      chunk_size: how many images of a batch to work on at once, to save memory; the
        loss must be a mean over them. The gradients are summed up, and the result is
        that of the whole batch. When None, a batch that outgrows the cache of a CPU
        is worked on in chunks where that is sure to change nothing: with
        `cross_entropy`, and layers without state or randomness.

    Returns:
      ``step(run, (images, labels)) -> (run, metrics)``, jitted. The run that goes in
      is donated: use the one that comes out. Metrics are scalars: "loss", and
      "accuracy" where the labels are class numbers. With `loss_scaling` there are also
      "loss_scale", that of this step, and "skipped", how many steps in a row were left
      out for a gradient that no scale makes finite; what is left out leaves params and
      state as they were.

    Raises:
      LayerError: by the step: images do not fit the net, or `chunk_size` is given and
        the net has layers that work on the batch as a whole; `loss_scaling` is not the
        outermost optimizer.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> net, optimizer = nn.linear(2), optax.sgd(0.1)
      >>> batch = jnp.ones((4, 3)), jnp.array([0, 1, 1, 1])
      >>> run = nn.train_state(net, optimizer, jax.random.key(0), batch[0])
      >>> run, metrics = nn.train_step(net, optimizer)(run, batch)
      >>> int(run.step), sorted(metrics)
      (1, ['accuracy', 'loss'])
    """
    update = optax.with_extra_args_support(optimizer).update

    def step(run: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(run.key, run.step)
        scale = loss_scale(run.opt_state)

        def objective(
            params: Params, batch: Batch
        ) -> tuple[jax.Array, tuple[Metrics, State]]:
            images, labels = batch
            outputs, state = net.apply_with_state(
                params, run.state, images, key=key, train=True
            )
            value = loss(outputs, labels)
            return value, (_metrics(value, outputs, labels), state)

        def scaled(params: Params, batch: Batch) -> Any:
            value, found = objective(params, batch)
            return value if scale is None else value * scale, found

        def gradients(batch: Batch) -> tuple[Params, Metrics, State]:
            grads, (metrics, state) = jax.grad(scaled, has_aux=True)(run.params, batch)
            return grads, metrics, state

        grads, metrics, state = chunks.mean_over_parts(
            net, loss, gradients, batch, chunk_size
        )
        updates, opt_state = update(
            grads,
            run.opt_state,
            run.params,
            value=metrics["loss"],
            grad=grads,
            value_fn=lambda params: objective(params, batch)[0],
        )
        params = optax.apply_updates(run.params, updates)
        if scale is not None:
            done = opt_state.last_finite
            state = jax.tree.map(
                lambda new, old: jnp.where(done, new, old), state, run.state
            )
            metrics |= {"loss_scale": scale, "skipped": opt_state.skipped}
        new_run = TrainState(params, state, opt_state, run.step + 1, run.key)
        return new_run, metrics

    return jax.jit(step, donate_argnums=0)


def eval_step(
    net: Layer, loss: Loss = cross_entropy
) -> Callable[[Params, State, Batch], Metrics]:
    """Makes the compiled evaluation of one batch.

    Args:
      net: any layer.
      loss: ``loss(outputs, labels)``, a scalar.

    Returns:
      ``step(params, state, (images, labels)) -> metrics``, jitted, with the metrics of
      `train_step`.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> net, batch = nn.linear(2), (jnp.ones((4, 3)), jnp.array([0, 1, 1, 1]))
      >>> params = net.init(jax.random.key(0), batch[0])
      >>> sorted(nn.eval_step(net)(params, {}, batch))
      ['accuracy', 'loss']
    """

    def step(params: Params, state: State, batch: Batch) -> Metrics:
        images, labels = batch
        outputs = _outputs(net, params, state, images)
        return _metrics(loss(outputs, labels), outputs, labels)

    return jax.jit(step)


def predict_step(net: Layer) -> Callable[[Params, State, Any], Any]:
    """Makes the compiled forward pass, for use without a gradient.

    A batch that outgrows the cache of a CPU is worked on in chunks, where that is sure
    to change nothing.

    Args:
      net: any layer.

    Returns:
      ``step(params, state, images) -> outputs``, jitted.

    Raises:
      LayerError: by the step: images, params or state do not fit.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = nn.linear(2).init(jax.random.key(0), jnp.zeros((1, 3)))
      >>> nn.predict_step(nn.linear(2))(params, {}, jnp.ones((5, 3))).shape
      (5, 2)
    """

    def step(params: Params, state: State, images: Any) -> Any:
        return _outputs(net, params, state, images)

    return jax.jit(step)


def _outputs(net: Layer, params: Params, state: State, images: Any) -> Any:
    def forward(images: Any) -> Any:
        outputs, _ = net.apply_with_state(params, state, images, train=False)
        return outputs

    return chunks.outputs_by_chunks(net, forward, images)


def predict(
    net: Layer,
    params: Params,
    images: Any,
    *,
    state: State | None = None,
    batch_size: int = 256,
) -> np.ndarray[Any, Any]:
    """Computes a net's outputs for any number of inputs, batch by batch.

    Each call compiles; for many of them take `predict_step`.

    Args:
      net: any layer.
      params: what `init` or `fit` returned.
      images: inputs (n, ...), NumPy or JAX.
      state: the net's state, if it has any.
      batch_size: how many inputs to compute at once.

    Returns:
      The outputs (n, ...), as a NumPy array.

    Raises:
      LayerError: images, params or state do not fit.
      ValueError: there are no images.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn
      >>> params = nn.linear(2).init(jax.random.key(0), jnp.zeros((1, 3)))
      >>> nn.predict(nn.linear(2), params, jnp.ones((5, 3)), batch_size=2).shape
      (5, 2)
    """
    size("batch_size", batch_size)
    if len(images) == 0:
        raise ValueError("predict needs at least one image, got none")

    step = predict_step(net)
    outputs = [
        np.asarray(step(params, state or {}, images[start : start + batch_size]))
        for start in range(0, len(images), batch_size)
    ]
    return np.concatenate(outputs)


def _metrics(loss: jax.Array, outputs: Any, labels: Any) -> Metrics:
    metrics = {"loss": loss}
    classes = getattr(outputs, "ndim", 0) >= 2 and labels.shape == outputs.shape[:-1]
    if classes and jnp.issubdtype(labels.dtype, jnp.integer):
        # argmax of NaN is some class; a net that computes NaN is never right
        right = (outputs.argmax(-1) == labels) & ~jnp.isnan(outputs).any(-1)
        metrics["accuracy"] = right.mean()
    return metrics
