"""Training: one compiled step, and the loop around it."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lenetjax import chunks
from lenetjax.core import Layer, Params, State
from lenetjax.data.batches import batches
from lenetjax.data.dataset import Dataset
from lenetjax.functional.arguments import size
from lenetjax.losses import check_labels, cross_entropy
from lenetjax.measuring import Compiled, Means
from lenetjax.progress import Progress
from lenetjax.specs import shapes_text

Batch = tuple[Any, Any]  # images and labels
Metrics = dict[str, jax.Array]
Loss = Callable[[Any, Any], jax.Array]


class TrainState(NamedTuple):
    """All that changes in training; a plain pytree.

    `key` is where the random keys of the steps come from, each folded from the step's
    number; `step` counts the updates done.
    """

    params: Params
    state: State
    opt_state: optax.OptState
    step: jax.Array
    key: jax.Array


class Fit(NamedTuple):
    """What `fit` returns.

    `history` has a dict for each epoch: epoch, step, train_loss and train_accuracy
    (means over the epoch, while the net still learns), test_loss, test_accuracy,
    seconds (of training, without compilation) and images_per_second. `test_accuracy`
    is the last one, or None without test data.
    """

    params: Params
    state: State
    history: list[dict[str, float]]
    test_accuracy: float | None
    compile_seconds: float


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
      "accuracy" where the labels are class numbers.

    Raises:
      LayerError: by the step: images do not fit the net, or `chunk_size` is given and
        the net has layers that work on the batch as a whole.

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

        def objective(
            params: Params, batch: Batch
        ) -> tuple[jax.Array, tuple[Metrics, State]]:
            images, labels = batch
            outputs, state = net.apply_with_state(
                params, run.state, images, key=key, train=True
            )
            value = loss(outputs, labels)
            return value, (_metrics(value, outputs, labels), state)

        def gradients(batch: Batch) -> tuple[Params, Metrics, State]:
            grads, (metrics, state) = jax.grad(objective, has_aux=True)(
                run.params, batch
            )
            return grads, metrics, state

        at_once = chunks.chunk_size(net, batch[0], loss, chunk_size)
        grads, metrics, state = chunks.mean_over_chunks(gradients, batch, at_once)
        updates, opt_state = update(
            grads,
            run.opt_state,
            run.params,
            value=metrics["loss"],
            grad=grads,
            value_fn=lambda params: objective(params, batch)[0],
        )
        params = optax.apply_updates(run.params, updates)
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
        outputs, _ = net.apply_with_state(params, state, images, train=False)
        return _metrics(loss(outputs, labels), outputs, labels)

    return jax.jit(step)


def fit(
    net: Layer,
    optimizer: optax.GradientTransformation,
    data: Dataset | Iterable[Batch],
    *,
    epochs: int = 10,
    batch_size: int = 64,
    seed: int = 0,
    loss: Loss = cross_entropy,
    test: Iterable[Batch] | None = None,
    progress: bool = True,
    on_epoch: Callable[[dict[str, float], TrainState], None] | None = None,
) -> Fit:
    """Trains a net on data for some epochs, and tests it after each.

    The images are shuffled anew in each epoch, in an order that follows from
    (seed, epoch). The last, smaller batch of an epoch is trained on as well: it is a
    second shape, compiled once. All test images count.

    Args:
      net: any layer.
      optimizer: any optax optimizer.
      data: a `Dataset` of train and test images, or anything that gives batches
        (images, labels) each time it is iterated over, such as a list or a loader.
      epochs: how often to go through the data.
      batch_size: images in a batch; batches that come ready-made stay as they are.
      seed: decides the initial values, the order of the images and all randomness.
      loss: ``loss(outputs, labels)``, a scalar.
      test: test batches, in place of a dataset's test images.
      progress: whether to show a bar, or a line for each epoch where stderr is no
        terminal.
      on_epoch: called as ``on_epoch(row, run)`` after each epoch, with its row of the
        history and the `TrainState`; the arrays of `run` are donated afterwards.

    Returns:
      A `Fit`: params, state, history, test_accuracy, compile_seconds.

    Raises:
      LayerError: the images do not fit the net, or labels are out of range.
      ValueError: there is no data, or images and labels differ in number.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> data = [(jnp.eye(2), jnp.arange(2))]
      >>> result = nn.fit(
      ...     nn.linear(2), optax.sgd(1.0), data, epochs=20, test=data, progress=False)
      >>> result.test_accuracy
      1.0
    """
    size("epochs", epochs)
    size("batch_size", batch_size)
    step = Compiled(train_step(net, optimizer, loss))
    evaluate = Compiled(eval_step(net, loss))
    run: TrainState | None = None
    history: list[dict[str, float]] = []
    started = time.perf_counter()
    with Progress(epochs, _count(data), shown=progress) as bar:
        for epoch in range(1, epochs + 1):
            found = _checked(net, _epoch(data, batch_size, seed, epoch), loss)
            first = next(found, None)
            if first is None:
                raise ValueError(
                    f"the data gave no batches in epoch {epoch}; pass a list, or "
                    "something that can be iterated over once per epoch"
                )
            if run is None:
                run = train_state(net, optimizer, jax.random.key(seed), first[0])
                setting_up = time.perf_counter() - started
            found = chain([first], found)
            run, trained, pace = _train_epoch(step, run, found, epoch, bar)
            tested = _test(net, evaluate, run, data, test, batch_size, loss)
            row = {"epoch": epoch, "step": int(run.step), **trained, **tested, **pace}
            history.append(row)
            bar.epoch_done(row)
            if on_epoch is not None:
                on_epoch(row, run)
    run = cast(TrainState, run)  # there is at least one epoch
    compile_seconds = setting_up + step.seconds + evaluate.seconds
    accuracy = history[-1].get("test_accuracy")
    return Fit(run.params, run.state, history, accuracy, compile_seconds)


def _train_epoch(
    step: Compiled,
    run: TrainState,
    found: Iterable[Batch],
    epoch: int,
    bar: Progress,
) -> tuple[TrainState, dict[str, float], dict[str, float]]:
    started = time.perf_counter() - step.seconds  # compiling does not count
    means = Means()
    for batch in found:
        run, metrics = step(run, batch)
        means.add(metrics, len(batch[1]))
        bar.advance(epoch, len(batch[1]), metrics)
    trained = means.result("train")  # waits for the device
    seconds = time.perf_counter() - step.seconds - started
    pace = {"seconds": seconds, "images_per_second": means.images / seconds}
    return run, trained, pace


def predict(
    net: Layer,
    params: Params,
    images: Any,
    *,
    state: State | None = None,
    batch_size: int = 256,
) -> np.ndarray[Any, Any]:
    """Computes a net's outputs for any number of inputs, batch by batch.

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

    @jax.jit
    def forward(params: Params, state: State, x: jax.Array) -> jax.Array:
        y, _ = net.apply_with_state(params, state, x, train=False)
        return jnp.asarray(y)

    outputs = [
        np.asarray(forward(params, state or {}, images[start : start + batch_size]))
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


def _epoch(
    data: Dataset | Iterable[Batch], batch_size: int, seed: int, epoch: int
) -> Iterable[Batch]:
    if not isinstance(data, Dataset):
        return data
    shuffled: Iterable[Batch] = batches(data.train, batch_size, seed=seed, epoch=epoch)
    return shuffled


def _test(
    net: Layer,
    evaluate: Compiled,
    run: TrainState,
    data: Dataset | Iterable[Batch],
    test: Iterable[Batch] | None,
    batch_size: int,
    loss: Loss,
) -> dict[str, float]:
    if test is None and isinstance(data, Dataset):
        test = batches(data.test, batch_size)
    means = Means()
    for batch in _checked(net, test or (), loss):
        means.add(evaluate(run.params, run.state, batch), len(batch[1]))
    return means.result("test")


def _checked(net: Layer, found: Iterable[Batch], loss: Loss) -> Iterator[Batch]:
    """Passes batches on as arrays, and refuses what would give a wrong number."""
    for batch in found:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                f"expected batches (images, labels), got {shapes_text(batch)}"
            )
        images = jax.tree.map(np.asarray, batch[0])
        labels = np.asarray(batch[1])
        counts = {len(part) for part in (*jax.tree.leaves(images), labels)}
        if len(counts) != 1 or 0 in counts:
            raise ValueError(
                "images and labels must be equally many, and at least one, got "
                f"{shapes_text(images)} and {shapes_text(labels)}"
            )
        if loss is cross_entropy:
            check_labels(labels, net.plan(images).y)  # type: ignore[arg-type]
        yield images, labels


def _count(data: Dataset | Iterable[Batch]) -> int | None:
    """How many images an epoch has, where that is known."""
    return len(data.train.labels) if isinstance(data, Dataset) else None
