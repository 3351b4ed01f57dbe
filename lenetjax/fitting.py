"""Training as a whole: epochs, tests and checkpoints in one call."""

import contextlib
import inspect
import operator
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import optax

from lenetjax.callbacks import Callbacks
from lenetjax.checkpoint import Folder
from lenetjax.core import Layer, Params, State
from lenetjax.data.batches import batches
from lenetjax.data.dataset import Dataset, Split
from lenetjax.feeding import Feed, Resident, Streamed, usual_steps
from lenetjax.functional.arguments import size
from lenetjax.interruption import Interruption, noticed
from lenetjax.keeping import Interval, Keeper, PathLike, Place
from lenetjax.locks import locked
from lenetjax.loop import Loop
from lenetjax.losses import cross_entropy
from lenetjax.progress import Progress
from lenetjax.scaling import LossScaling, inside
from lenetjax.sharding import AnyLayout, Anywhere, Devices, Layout, Rules
from lenetjax.training import Batch, Loss


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
    callbacks: Sequence[object] = (),
    checkpoints: PathLike | Folder | None = None,
    checkpoint_every: Interval | None = None,
    resume: PathLike = "auto",
    skip_nonfinite: int = 0,
    checked: bool = False,
    steps_per_execution: int | None = None,
    accumulate_grad_batches: int = 1,
    devices: Devices | None = None,
    rules: Rules | None = None,
) -> Fit:
    """Trains a net on data for some epochs, and tests it after each.

    The images are shuffled anew in each epoch, in an order that follows from
    (seed, epoch). The last, smaller batch of an epoch is trained on as well: it is a
    second shape, compiled once. All test images count.

    With `checkpoints`, the same call goes on where it was stopped, however that
    happened: the position in the data, the order and the random keys are restored, and
    on a CPU the result is the same bit for bit. On SIGINT and SIGTERM the step is
    finished and saved first; a second signal does not wait.

    Args:
      net: any layer.
      optimizer: any optax optimizer.
      data: a `Dataset` of train and test images, or anything that gives batches
        (images, labels) each time it is iterated over, such as a list or a loader; to
        go on with a training it must give the same batches again.
      epochs: how often to go through the data.
      batch_size: images in a batch; batches that come ready-made stay as they are.
      seed: decides the initial values, the order of the images and all randomness.
      loss: ``loss(outputs, labels)``, a scalar.
      test: test batches, in place of a dataset's test images.
      progress: whether to show a bar, or a line for each epoch where stderr is no
        terminal.
      callbacks: a list of `Callback`s, or of objects with any of their methods, which
        are told how it goes; such as `tracking.TensorBoard`.
      checkpoints: a folder, or a `checkpoint.Folder`, to keep checkpoints in: one after
        each epoch, with the test accuracy for its score.
      checkpoint_every: more of them, every so many steps, or seconds as "30s".
      resume: "auto" goes on from the newest whole checkpoint, if there is one; "never"
        refuses to; a path of a checkpoint, a folder of them or a run starts from there,
        where `checkpoints` holds none yet.
      skip_nonfinite: how many steps in a row may be left out because their gradient is
        not finite (`optax.apply_if_finite`); their losses and what they make of the
        net's state do not count. One more ends the training.
      checked: whether to compute each loss without jit first, where layers see values
        (an index out of range) and NaN is traced to the layer where it arises, and to
        look for NaN in each operation of the step. Slow.
      steps_per_execution: how many steps one call of a compiled program does, on
        images that stay on the device; needs a `Dataset`. None takes 1 on a CPU, and 50
        elsewhere if the images fill no more than half the device's memory. With the
        number of batches in an epoch, a whole epoch is one program. Signals and
        checkpoints wait for the end of a call.
      accumulate_grad_batches: how many batches make one update, of the mean of their
        gradients, as one batch so many times as large would (`optax.MultiSteps`). The
        count goes on from one epoch to the next and over a stop; what is left at the
        very end makes no update. Schedules of the learning rate count updates. A batch
        that `skip_nonfinite` or `loss_scaling` leaves out is not one of them.
        Optimizers that read the loss, such as `optax.lbfgs`, cannot wait for more.
      devices: over which to spread each batch: "all", how many, a list of
        `jax.devices()`, or a `jax.sharding.Mesh` with an axis "data"; see
        `sharding.Layout`. The result is that of one device, to rounding: only the order
        of sums differs. None takes JAX's first device.
      rules: which params to split over the mesh, as {"fc*/weight": PartitionSpec(...)};
        the others have a copy on each device.

    Returns:
      A `Fit`: params, state, history, test_accuracy, compile_seconds.

    Raises:
      LayerError: the images do not fit the net, or labels are out of range.
      ValueError: there is no data, images and labels differ in number, checkpoints
        are of another training or all damaged, `steps_per_execution` is above 1
        with `checked` or with batches that come ready-made, the batches do not
        divide among the devices, or all batches together are fewer than
        `accumulate_grad_batches`.
      TypeError: `callbacks` holds something else, or the optimizer reads the loss and
        `accumulate_grad_batches` is above 1.
      OSError: a checkpoint cannot be written or read.
      NotFinite: an ArithmeticError: the loss or the params became infinite or NaN, or
        `checked` found something. What was saved before is kept.
      MemoryError: a batch needs more memory than there is.

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
    optimizer = _wrapped(optimizer, skip_nonfinite, accumulate_grad_batches)
    at_once = _at_once(steps_per_execution, data, checked)
    layout = _layout(devices, rules, checked)
    if isinstance(data, Dataset):
        layout.refuse_uneven("batch_size", batch_size)
    folder = checkpoints
    if folder is not None and not isinstance(folder, Folder):
        folder = Folder(folder, keep=2)
    count = len(data.train.labels) if isinstance(data, Dataset) else None
    setup = {
        "seed": operator.index(seed),
        "batch_size": operator.index(batch_size),
        "images": count,
        "accumulate_grad_batches": operator.index(accumulate_grad_batches),
    }
    keeper = Keeper(folder, checkpoint_every, setup)
    told = {
        **setup,
        "batch_size": None if count is None else setup["batch_size"],
        "epochs": operator.index(epochs),
        "skip_nonfinite": operator.index(skip_nonfinite),
        "checked": bool(checked),
        "steps_per_execution": operator.index(at_once),
    }
    followers = Callbacks(callbacks, net, told)
    feed, test_feed = _feeds(net, loss, data, test, batch_size, at_once, seed, layout)
    loop = Loop(
        net,
        optimizer,
        loss,
        feed,
        test_feed,
        layout,
        seed=seed,
        skip_nonfinite=skip_nonfinite,
        checked=checked,
    )

    with _guarded(folder) as interruption:
        place = keeper.find(resume) or Place()
        if place.epoch > epochs + 1:
            raise ValueError(
                f"{keeper.source} is of epoch {place.epoch - 1}, beyond epochs={epochs}"
            )
        done = (place.epoch - 1) * (count or 0) + place.means.images
        with (
            Progress(epochs, count, shown=progress, done=done) as bar,
            followers,
            layout.in_force(),
        ):
            if place.steps:
                bar.say(f"going on from step {place.steps:,}")
            loop.attach(keeper, place, interruption, bar, followers)
            while place.epoch <= epochs:
                loop.train_epoch()
                loop.end_epoch(loop.test())
            if loop.run is None:  # all was done before
                loop.begin_anyhow()
    run = loop.trained()
    if place.steps < accumulate_grad_batches:
        raise ValueError(
            f"accumulate_grad_batches={accumulate_grad_batches} and {place.steps} "
            "batches in all: there was no update; accumulate fewer, or train for longer"
        )
    accuracy = place.history[-1].get("test_accuracy")
    return Fit(run.params, run.state, place.history, accuracy, loop.compile_seconds())


def _wrapped(
    optimizer: optax.GradientTransformation, skip_nonfinite: int, accumulate: int
) -> optax.GradientTransformation:
    """The optimizer, waiting for some batches and leaving out what is not finite."""
    if size("accumulate_grad_batches", accumulate) > 1:
        optimizer = inside(optimizer, partial(_gathering, batches=accumulate))
    if skip_nonfinite:
        size("skip_nonfinite", skip_nonfinite)
        if not isinstance(optimizer, LossScaling):  # which leaves them out by itself
            optimizer = optax.apply_if_finite(optimizer, skip_nonfinite)
    return optimizer


def _gathering(
    optimizer: optax.GradientTransformation, batches: int
) -> optax.GradientTransformation:
    """The optimizer, updating with the mean gradient of some batches."""
    options = {}
    if "accumulator_dtype" in inspect.signature(optax.MultiSteps).parameters:
        # Not in optax 0.2.6, which gathers in the dtype of the gradients. Later ones do
        # it in float32, also where float64 is enabled.
        options["accumulator_dtype"] = jax.dtypes.canonicalize_dtype(float)
    return optax.MultiSteps(optimizer, batches, **options).gradient_transformation()


@contextlib.contextmanager
def _guarded(folder: Folder | None) -> Iterator[Interruption]:
    """Keeps other writers out and notes signals, where checkpoints are kept."""
    if folder is None:
        yield Interruption()
        return
    folder.path.mkdir(parents=True, exist_ok=True)
    with locked(folder.path), noticed() as interruption:
        yield interruption


def _feeds(
    net: Layer,
    loss: Loss,
    data: Dataset | Iterable[Batch],
    test: Iterable[Batch] | None,
    batch_size: int,
    at_once: int,
    seed: int,
    layout: AnyLayout,
) -> tuple[Feed, Feed]:
    """Where the batches to train on come from, and those to test with."""

    def ready_made(found: Iterable[Batch], even: bool = False) -> Feed:
        return Streamed(net, loss, lambda epoch: found, layout, even=even)

    def cut(split: Split, seed: int | None) -> Feed:
        if at_once > 1:
            return Resident(net, loss, split, batch_size, at_once, seed, layout)
        order = partial(batches, split, batch_size, seed=seed)
        return Streamed(net, loss, lambda epoch: order(epoch=epoch), layout)

    if not isinstance(data, Dataset):
        return ready_made(data, even=True), ready_made(() if test is None else test)
    return (
        cut(data.train, seed),
        cut(data.test, None) if test is None else ready_made(test),
    )


def _layout(devices: Devices | None, rules: Rules | None, checked: bool) -> AnyLayout:
    """Where everything lies."""
    if devices is None:
        if rules:
            raise ValueError("rules split params over devices; say which, as devices=")
        return Anywhere()
    if checked:
        raise ValueError("checked=True works on one device; leave devices out")
    return Layout(devices, rules)


def _at_once(asked: int | None, data: Any, checked: bool) -> int:
    """How many steps to do in one call."""
    if asked is None:
        return 1 if checked else usual_steps(data)
    size("steps_per_execution", asked)
    if asked > 1 and (checked or not isinstance(data, Dataset)):
        raise ValueError(
            f"steps_per_execution={asked} needs a Dataset, and checked=False; "
            "leave it out"
        )
    return asked
