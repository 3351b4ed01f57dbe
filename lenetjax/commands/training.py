"""lenetjax train."""

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import jax

from lenetjax import inspection, processes
from lenetjax.callbacks import Callback
from lenetjax.commands.chosen import Chosen, choose
from lenetjax.commands.optimizers import LEARNING_RATES, WITH_MOMENTUM, optimizer
from lenetjax.commands.sources import Source
from lenetjax.data import Dataset
from lenetjax.fitting import fit
from lenetjax.runs import CONFIG, TENSORBOARD, Run
from lenetjax.sharding import Layout
from lenetjax.tracking import TensorBoard
from lenetjax.training import predict as predict_logits


def train(options: argparse.Namespace) -> int:
    """Trains a net and leaves the run's folder."""
    chosen = choose(options)
    if options.momentum is not None and options.optimizer not in WITH_MOMENTUM:
        raise ValueError(f"{options.optimizer} has no --momentum")
    training = {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "optimizer": options.optimizer,
        "learning_rate": options.learning_rate
        or LEARNING_RATES.get(options.optimizer, 0.001),
        "momentum": 0.9 if options.momentum is None else options.momentum,
        "seed": options.seed,
        "skip_nonfinite": options.skip_nonfinite,
        "accumulate_grad_batches": options.accumulate_grad_batches,
        "precision": options.precision,
    }
    _check_devices(options)
    first = processes.is_first()
    folder, resume = _place(options) if first else (Path("runs"), "auto")
    run = Run(
        folder,
        chosen.net,
        chosen.kind.shape,
        model=options.model,
        data=options.data,
        training=training,
        dtype=chosen.kind.dtype,
        vocabulary=chosen.vocabulary,
    )
    callbacks: list[Callback] = [run]
    if options.tensorboard and first:  # which says what is missing before the work
        callbacks.append(TensorBoard(folder / TENSORBOARD))
    with run.writing(anew=resume == "never") if first else nullcontext():
        _train(run, callbacks, chosen, training, resume, options)
    return 0


def _check_devices(options: argparse.Namespace) -> None:
    """Refuses what `fit` would, before a run's folder says what is trained."""
    devices = "all" if processes.together() else options.devices
    if devices is None:
        return
    if options.checked:
        raise ValueError("--checked works on one device; leave --devices out")
    Layout(devices).refuse_uneven("--batch-size", options.batch_size)


def _train(
    run: Run,
    callbacks: Sequence[Callback],
    chosen: Chosen,
    training: dict[str, Any],
    resume: str,
    options: argparse.Namespace,
) -> None:
    kind, found, _, net = chosen
    first = processes.is_first()
    if first:
        print(_what(options, kind, found), file=sys.stderr)
    batches = math.ceil(len(found.train.labels) / training["batch_size"])
    updates = training["epochs"] * batches // options.accumulate_grad_batches
    result = fit(
        net,
        optimizer(training, max(1, updates)),
        found,
        epochs=training["epochs"],
        batch_size=training["batch_size"],
        seed=options.seed,
        callbacks=callbacks,
        checkpoints=run.checkpoints,
        checkpoint_every=options.checkpoint_every,
        resume=resume,
        skip_nonfinite=options.skip_nonfinite,
        checked=options.checked,
        devices="all" if processes.together() else options.devices,
        accumulate_grad_batches=options.accumulate_grad_batches,
    )
    if not first:
        return
    run.save_history(result.history)
    run.save(result.params, result.state)
    of_images = kind.examples == "images"
    picture = inspection.figures.learning_curve(
        result.history, "image" if of_images else "character"
    )
    run.save_figure("learning_curve.png", picture)
    if of_images:  # a table of all characters nobody can read
        predicted = predict_logits(
            net, result.params, found.test.images, state=result.state
        ).argmax(-1)
        picture = inspection.figures.confusion_matrix(found.test.labels, predicted)
        run.save_figure("confusion_matrix.png", picture)
    seconds = sum(row["seconds"] for row in result.history)
    epochs = len(result.history)
    print(
        f"test accuracy {result.test_accuracy:.2%} after {epochs} "
        f"{'epoch' if epochs == 1 else 'epochs'}: "
        f"{seconds:.1f} s of training, {result.compile_seconds:.1f} s of compiling\n"
        f"saved in {run.folder}"
    )


def _what(options: argparse.Namespace, kind: Source, found: Dataset) -> str:
    """What is to be trained, on what and where."""
    device, many = jax.devices()[0], ""
    if processes.together():
        many = f"{len(jax.devices())} devices of {jax.process_count()} processes, "
    elif options.devices is not None:
        count = len(jax.devices()) if options.devices == "all" else options.devices
        many = f"{count} devices, "
    return (
        f"{options.model} on {options.data}: {len(found.train.labels):,} "
        f"{kind.examples} to train on, {len(found.test.labels):,} to test, on "
        f"{many}{device.device_kind} ({device.platform})"
    )


def _place(options: argparse.Namespace) -> tuple[Path, str]:
    """The run's folder, and what to go on with."""
    if options.resume in ("auto", "never"):
        return options.out or new_folder(options.data, options.model), options.resume
    source = Path(options.resume)
    source.stat()  # before anything is made for it
    if (source / CONFIG).exists() and options.out in (None, source):
        return source, "auto"
    return options.out or new_folder(options.data, options.model), options.resume


def new_folder(data_name: str, model: str) -> Path:
    """A folder in runs/ that is not there yet."""
    started = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / f"{data_name}-{model}-{started}"
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{data_name}-{model}-{started}-{number}")
        number += 1
    return folder
