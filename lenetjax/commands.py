"""What each command of the command line does."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lenetjax import data, inspection, interop, models
from lenetjax.callbacks import Callback
from lenetjax.checking import findings
from lenetjax.core import Layer, Params, State
from lenetjax.data import Dataset
from lenetjax.fitting import fit
from lenetjax.gallery import pictures
from lenetjax.interop.exporting import need_flatbuffers
from lenetjax.losses import cross_entropy
from lenetjax.runs import (
    CONFIG,
    METRICS,
    MODEL,
    TENSORBOARD,
    Run,
    open_run,
    read_config,
    read_rows,
    save_figure,
)
from lenetjax.specs import shapes_text
from lenetjax.tracking import TensorBoard
from lenetjax.training import predict as predict_logits

IMAGE = (32, 32, 1)
EPOCHS = {"digits": 30, "mnist": 5}
BATCH_SIZES = {"digits": 32, "mnist": 64}
LEARNING_RATES = {"sgd": 0.05, "nesterov": 0.05}
WITH_MOMENTUM = ("sgd", "nesterov", "rmsprop")


def train(options: argparse.Namespace) -> int:
    """Trains a net and leaves the run's folder."""
    if options.momentum is not None and options.optimizer not in WITH_MOMENTUM:
        raise ValueError(f"{options.optimizer} has no --momentum")
    _need_matplotlib("train")  # before the work, not after it
    jax.devices()  # a platform that is not there is said before the work
    found = _load(options.data, options.data_dir)
    net = _model(options.model)
    training = {
        "epochs": options.epochs or EPOCHS[options.data],
        "batch_size": options.batch_size or BATCH_SIZES[options.data],
        "optimizer": options.optimizer,
        "learning_rate": options.learning_rate
        or LEARNING_RATES.get(options.optimizer, 0.001),
        "momentum": 0.9 if options.momentum is None else options.momentum,
        "seed": options.seed,
        "skip_nonfinite": options.skip_nonfinite,
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
    steps = training["epochs"] * batches
    result = fit(
        net,
        _optimizer(training, steps),
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


def evaluate(options: argparse.Namespace) -> int:
    """Tests a trained net on the test images of its data."""
    run = open_run(options.run_dir)
    test = _load(run.config["data"], options.data_dir).test
    logits = predict_logits(run.net, run.params, test.images, state=run.state)
    right = int((logits.argmax(-1) == test.labels).sum())
    loss = float(cross_entropy(jnp.asarray(logits), jnp.asarray(test.labels)))
    print(
        f"test accuracy {right / len(test.labels):.2%} "
        f"({right:,} of {len(test.labels):,}), test loss {loss:.4f}"
    )
    return 0


def predict(options: argparse.Namespace) -> int:
    """Prints the digit that the net sees in each image file.

    It goes on after a bad file; the exit status is 1 then.
    """
    run = open_run(options.run_dir)
    bad = 0
    for path in options.images:
        try:
            image = data.load_image(path, image_size=run.image_size)
        except (OSError, ValueError) as error:
            bad += 1
            why = getattr(error, "strerror", None) or " ".join(str(error).split())
            where = "" if str(path) in why else f"{path}: "
            print(f"lenetjax predict: {where}{why}", file=sys.stderr)
            continue
        logits = predict_logits(run.net, run.params, image[None], state=run.state)
        probabilities = np.asarray(jax.nn.softmax(jnp.asarray(logits[0])))
        digit = int(probabilities.argmax())
        print(f"{path}: {digit} ({probabilities[digit]:.1%})")
    return 1 if bad else 0


def figures(options: argparse.Namespace) -> int:
    """Draws all pictures of a trained net, and prints their paths."""
    _need_matplotlib("figures")
    run = open_run(options.run_dir)
    found = _load(run.config["data"], options.data_dir)
    rows = read_rows(options.run_dir / METRICS)
    folder = options.out or options.run_dir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in pictures(run, rows, found):
        path = folder / f"{name}.png"
        save_figure(path, figure)
        print(path, flush=True)
    return 0


def summary(options: argparse.Namespace) -> int:
    """Prints a net's layers with their shapes, params and FLOPs for one image."""
    table = inspection.summary(*_net(options))
    if options.format == "json":
        rows = [row._asdict() for row in table.rows]
        print(json.dumps({"input": table.input, "rows": rows}, indent=2))
    else:
        print(table._repr_html_() if options.format == "html" else table)
    return 0


def graph(options: argparse.Namespace) -> int:
    """Prints what a net's loss of one image computes, or what its gradient does."""
    net, image = _net(options)
    label = jax.ShapeDtypeStruct((1,), jnp.int32)
    params, state = jax.eval_shape(net.init_with_state, jax.random.key(0), image)

    def loss(
        params: Params, state: State, images: jax.Array, labels: jax.Array
    ) -> jax.Array:
        return cross_entropy(net.apply(params, images, state=state), labels)

    found = inspection.graph(loss, params, state, image, label)
    found = found.backward() if options.backward else found
    written: dict[str, Callable[[], str]] = {
        "text": found.__str__,
        "dot": found.dot,
        "mermaid": found.mermaid,
        "svg": found.svg,
    }
    print(written[options.format]())
    return 0


def export(options: argparse.Namespace) -> int:
    """Writes a trained net for other programs, and prints what it wrote."""
    if options.format == "huggingface":
        return _export_folder(options)
    path = options.out or options.run_dir / "model.stablehlo"
    if path.name in (CONFIG, METRICS, MODEL):
        raise ValueError(f"{path} is the name of a run's own file; give another --out")
    need_flatbuffers()  # before the work
    run = open_run(options.run_dir)
    # Else the program has the paths of all source files, on this machine.
    jax.config.update("jax_traceback_in_locations_limit", 0)
    any_number = options.batch_size in (None, "symbolic")
    shape = (1 if any_number else options.batch_size, *run.config["image_shape"])
    exported = interop.export(
        run.net,
        run.params,
        jax.ShapeDtypeStruct(shape, jnp.float32),
        state=run.state,
        batch="b" if any_number else None,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    interop.save_exported(path, exported)
    (images,), (logits,) = exported.in_avals, exported.out_avals
    print(
        f"{path}: {shapes_text(images)} to {shapes_text(logits)} on "
        f"{', '.join(exported.platforms)}; {path.stat().st_size:,} bytes"
    )
    return 0


def _export_folder(options: argparse.Namespace) -> int:
    if options.batch_size is not None:
        raise ValueError("--format huggingface has no --batch-size; stablehlo has")
    run = open_run(options.run_dir)
    folder = options.out or options.run_dir / "huggingface"
    interop.save_pretrained(folder, run.net, run.params, run.state)
    print(f"{folder}: {MODEL} and {CONFIG}")
    return 0


def check(options: argparse.Namespace) -> int:
    """Prints what is in a run or a file, and whether it is whole."""
    status = 0
    for found in findings(options.path):
        if found.bad:
            status = 1
            print(f"lenetjax check: {found.text}", file=sys.stderr)
        else:
            print(found.text)
    return status


def _place(options: argparse.Namespace) -> tuple[Path, str]:
    """The run's folder, and what to go on with."""
    if options.resume in ("auto", "never"):
        return options.out or _new_folder(options.data, options.model), options.resume
    source = Path(options.resume)
    source.stat()  # before anything is made for it
    if (source / CONFIG).exists() and options.out in (None, source):
        return source, "auto"
    return options.out or _new_folder(options.data, options.model), options.resume


def _need_matplotlib(command: str) -> None:
    if find_spec("matplotlib") is None:
        raise ImportError(f'{command} draws pictures: pip install "lenetjax[train]"')


def _load(name: str, folder: Path | None) -> Dataset:
    if name not in EPOCHS:
        raise ValueError(f"there is no data {name!r}; there is {', '.join(EPOCHS)}")
    if name == "digits":
        return data.digits(image_size=IMAGE[0])
    return data.mnist(folder, image_size=IMAGE[0])


def _net(options: argparse.Namespace) -> tuple[Layer, jax.ShapeDtypeStruct]:
    """The net of a run, or one by its name, and an image for it."""
    if options.run_dir is not None:
        _, net, plan = read_config(options.run_dir)
        return net, plan.x
    return _model(options.model), jax.ShapeDtypeStruct((1, *IMAGE), jnp.float32)


def _model(name: str) -> Layer:
    makers: dict[str, Callable[[], Layer]] = {
        "lenet": models.lenet,
        "lenet5": models.lenet5,
        "mlp": models.mlp,
        "resnet20": models.resnet20,
    }
    return makers[name]()


def _optimizer(training: dict[str, float], steps: int) -> optax.GradientTransformation:
    momentum = training["momentum"]
    rate = optax.cosine_decay_schedule(training["learning_rate"], steps)
    return {
        "sgd": lambda: optax.sgd(rate, momentum=momentum),
        "nesterov": lambda: optax.sgd(rate, momentum=momentum, nesterov=True),
        "adam": lambda: optax.adam(rate),
        "adamw": lambda: optax.adamw(rate),
        "rmsprop": lambda: optax.rmsprop(rate, momentum=momentum),
    }[str(training["optimizer"])]()


def _new_folder(data_name: str, model: str) -> Path:
    started = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    folder = Path("runs") / f"{data_name}-{model}-{started}"
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{data_name}-{model}-{started}-{number}")
        number += 1
    return folder
