"""Training as a whole: epochs, tests and checkpoints in one call."""

import inspect
import operator
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax
import optax

from lenetjax import processes
from lenetjax.callbacks import Callbacks
from lenetjax.checkpoint import Folder
from lenetjax.core import Layer, Params, State
from lenetjax.data.batches import batches
from lenetjax.data.dataset import Dataset, Split
from lenetjax.feeding import (
    Feed,
    Resident,
    Streamed,
    by_epoch,
    prefetched,
    usual_steps,
)
from lenetjax.functional.arguments import size
from lenetjax.interruption import Interruption, noticed
from lenetjax.keeping import Interval, Keeper, PathLike, Place
from lenetjax.locks import locked
from lenetjax.loop import Loop
from lenetjax.losses import cross_entropy
from lenetjax.progress import Progress
from lenetjax.scaling import LossScaling, inside
from lenetjax.sharding import ANYWHERE, AnyLayout, Devices, Layout, Rules
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
    data: Dataset | Iterable[Batch] | Callable[[int], Iterable[Batch]],
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
    prefetch: int | None = None,
) -> Fit:
    """Trains a net on data for some epochs, and tests it after each.

    The images are shuffled anew in each epoch, in an order that follows from
    (seed, epoch). The last, smaller batch of an epoch is trained on as well: it is a
    second shape, compiled once. All test images count.

    With `checkpoints`, the same call goes on where it was stopped, however that
    happened: the position in the data, the order and the random keys are restored, and
    on a CPU the result is the same bit for bit. On SIGINT and SIGTERM the step is
    finished and saved first; a second signal does not wait.

    Many processes train one net when each makes the same call, after
    `jax.distributed.initialize`. A `Dataset` is the same in each; of batches that come
    ready-made each process gives its own share, equally many in each. Process 0 alone
    touches checkpoints, shows progress and has callbacks. A signal to one stops all.

    Args:
      net: any layer.
      optimizer: any optax optimizer.
      data: a `Dataset` of train and test images, or anything that gives the batches
        (images, labels) of an epoch each time it is iterated over, such as a list or a
        loader, or a function of the epoch's number, from 1, that returns such a thing.
        To go on with a training it must give the same batches again. Those trained on
        are left out without being read where the iterator has `get_state` and
        `set_state`, as grain's have, and the state is no more than JSON can hold.
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
        of sums differs. None takes JAX's first device; where `jax.distributed` joins
        many processes, all of them.
      rules: which params to split over the mesh, as {"fc*/weight": PartitionSpec(...)};
        the others have a copy on each device.
      prefetch: how many batches, of those that come one by one, to put on the device
        while a step works on another. None takes 0 on a CPU, and 1 elsewhere.

    Returns:
      A `Fit`: params, state, history, test_accuracy, compile_seconds.

    Raises:
      LayerError: the images do not fit the net, or labels are out of range.
      ValueError: there is no data, images and labels differ in number, checkpoints
        are of another training or all damaged, `steps_per_execution` is above 1
        with `checked` or with batches that come ready-made, the batches do not
        divide among the devices, or all batches together are fewer than
        `accumulate_grad_batches`.
      TypeError: `callbacks` holds something else, data are nothing of the kind, or the
        optimizer reads the loss and `accumulate_grad_batches` is above 1.
      OSError: a checkpoint cannot be written or read.
      processes.ProcessLost: a RuntimeError: one of many processes has ended.
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
        batches_in_all = epochs * -(-len(data.train.labels) // batch_size)
        _refuse_no_update(batches_in_all, accumulate_grad_batches)
    early = prefetched(prefetch)
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
    followers = Callbacks(callbacks if processes.is_first() else (), net, told)
    feed, test_feed = _feeds(
        net, loss, data, test, batch_size, at_once, early, seed, layout
    )
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

    first = processes.is_first()
    with ExitStack() as held, _noticed(folder) as interruption:
        place = _opened(folder, keeper, resume, held)
        if place.epoch > epochs + 1:
            raise ValueError(
                f"{keeper.source} is of epoch {place.epoch - 1}, beyond epochs={epochs}"
            )
        done = (place.epoch - 1) * (count or 0) + place.means.images
        with (
            Progress(epochs, count, shown=progress and first, done=done) as bar,
            followers,
            layout.in_force(),
            processes.lost_explained(),
        ):
            if place.steps:
                bar.say(f"going on from step {place.steps:,}")
            loop.attach(keeper, place, interruption, bar, followers)
            while place.epoch <= epochs:
                loop.train_epoch()
                loop.end_epoch(loop.test())
            if loop.run is None:  # all was done before
                loop.begin_anyhow()
    run = processes.here(loop.trained())
    _refuse_no_update(place.steps, accumulate_grad_batches)
    accuracy = place.history[-1].get("test_accuracy")
    return Fit(run.params, run.state, place.history, accuracy, loop.compile_seconds())


def _refuse_no_update(batches: int, accumulate: int) -> None:
    if batches < accumulate:
        raise ValueError(
            f"accumulate_grad_batches={accumulate} and {batches} batches in all make "
            "no update; accumulate fewer, or train for longer"
        )


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


def _noticed(folder: Folder | None) -> AbstractContextManager[Interruption]:
    """Notes signals, where checkpoints are kept."""
    return nullcontext(Interruption()) if folder is None else noticed()


def _opened(
    folder: Folder | None, keeper: Keeper, resume: PathLike, held: ExitStack
) -> Place:
    """Keeps other writers out of the folder until `held` ends, and says where to go on.

    Process 0 does, and tells the others.
    """

    def opened() -> str:
        if folder is not None:
            folder.path.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder.path))
        place = keeper.find(resume)
        return "" if place is None else place.to_json()

    found = processes.on_first(opened)
    return Place().from_json(found) if found else Place()


def _feeds(
    net: Layer,
    loss: Loss,
    data: Any,
    test: Iterable[Batch] | None,
    batch_size: int,
    at_once: int,
    prefetch: int,
    seed: int,
    layout: AnyLayout,
) -> tuple[Feed, Feed]:
    """Where the batches to train on come from, and those to test with."""

    streamed = partial(Streamed, net, loss, layout=layout, prefetch=prefetch)

    def ready_made(found: Any, even: bool) -> Feed:
        return streamed(by_epoch(found), shares=True, even=even)

    def cut(split: Split, seed: int | None) -> Feed:
        if at_once > 1:
            return Resident(net, loss, split, batch_size, at_once, seed, layout)
        order = partial(batches, split, batch_size, seed=seed)
        return streamed(lambda epoch: order(epoch=epoch))

    if not isinstance(data, Dataset):
        return ready_made(data, True), ready_made(() if test is None else test, False)
    return (
        cut(data.train, seed),
        cut(data.test, None) if test is None else ready_made(test, False),
    )


def _layout(devices: Devices | None, rules: Rules | None, checked: bool) -> AnyLayout:
    """Where everything lies."""
    if devices is None and jax.process_count() > 1:
        devices = "all"
    if devices is None:
        if rules:
            raise ValueError("rules split params over devices; say which, as devices=")
        return ANYWHERE
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
