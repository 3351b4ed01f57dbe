"""lenetjax train."""

import argparse
import math
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jax

from lenetjax import inspection
from lenetjax.callbacks import Callback
from lenetjax.commands.nets import model
from lenetjax.commands.optimizers import LEARNING_RATES, WITH_MOMENTUM, optimizer
from lenetjax.commands.sources import BATCH_SIZES, EPOCHS, IMAGE, load
from lenetjax.commands.trained import need_matplotlib
from lenetjax.core import Layer
from lenetjax.data import Dataset
from lenetjax.fitting import fit
from lenetjax.runs import CONFIG, TENSORBOARD, Run
from lenetjax.tracking import TensorBoard
from lenetjax.training import predict as predict_logits


def train(options: argparse.Namespace) -> int:
    """Trains a net and leaves the run's folder."""
    if options.momentum is not None and options.optimizer not in WITH_MOMENTUM:
        raise ValueError(f"{options.optimizer} has no --momentum")
    need_matplotlib("train")  # before the work, not after it
    jax.devices()  # a platform that is not there is said before the work
    found = load(options.data, options.data_dir)
    net = model(options.model, options.precision)
    training = {
        "epochs": options.epochs or EPOCHS[options.data],
        "batch_size": options.batch_size or BATCH_SIZES[options.data],
        "optimizer": options.optimizer,
        "learning_rate": options.learning_rate
        or LEARNING_RATES.get(options.optimizer, 0.001),
        "momentum": 0.9 if options.momentum is None else options.momentum,
        "seed": options.seed,
        "skip_nonfinite": options.skip_nonfinite,
        "accumulate_grad_batches": options.accumulate_grad_batches,
        "precision": options.precision,
    }
    folder, resume = _place(options)
    run = Run(
        folder, net, IMAGE, model=options.model, data=options.data, training=training
    )
    callbacks: list[Callback] = [run]
    if options.tensorboard:  # which says what is missing before the work
        callbacks.append(TensorBoard(folder / TENSORBOARD))
    with run.writing(anew=resume == "never"):
        _train(run, callbacks, net, found, training, resume, options)
    return 0


def _train(
    run: Run,
    callbacks: Sequence[Callback],
    net: Layer,
    found: Dataset,
    training: dict[str, Any],
    resume: str,
    options: argparse.Namespace,
) -> None:
    device = jax.devices()[0]
    print(
        f"{options.model} on {options.data}: {len(found.train.labels):,} images to "
        f"train on, {len(found.test.labels):,} to test, on {device.device_kind} "
        f"({device.platform})",
        file=sys.stderr,
    )
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
        accumulate_grad_batches=options.accumulate_grad_batches,
    )
    run.save_history(result.history)
    run.save(result.params, result.state)
    logits = predict_logits(net, result.params, found.test.images, state=result.state)
    run.save_figure(
        "learning_curve.png", inspection.figures.learning_curve(result.history)
    )
    picture = inspection.figures.confusion_matrix(found.test.labels, logits.argmax(-1))
    run.save_figure("confusion_matrix.png", picture)
    seconds = sum(row["seconds"] for row in result.history)
    epochs = len(result.history)
    print(
        f"test accuracy {result.test_accuracy:.2%} after {epochs} "
        f"{'epoch' if epochs == 1 else 'epochs'}: "
        f"{seconds:.1f} s of training, {result.compile_seconds:.1f} s of compiling\n"
        f"saved in {run.folder}"
    )


def _place(options: argparse.Namespace) -> tuple[Path, str]:
    """The run's folder, and what to go on with."""
    if options.resume in ("auto", "never"):
        return options.out or _new_folder(options.data, options.model), options.resume
    source = Path(options.resume)
    source.stat()  # before anything is made for it
    if (source / CONFIG).exists() and options.out in (None, source):
        return source, "auto"
    return options.out or _new_folder(options.data, options.model), options.resume


def _new_folder(data_name: str, model: str) -> Path:
    started = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / f"{data_name}-{model}-{started}"
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{data_name}-{model}-{started}-{number}")
        number += 1
    return folder
