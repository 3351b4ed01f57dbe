"""The options of lenetjax train and lenetjax sweep."""

import argparse
from pathlib import Path

from lenetjax.options.shared import DATA_DIR, MODELS, AddCommand
from lenetjax.options.types import (
    devices,
    index,
    interval,
    momentum,
    momentums,
    positive_float,
    positive_floats,
    positive_int,
    seed,
)

DATA = ("digits", "mnist", "fashion-mnist", "cifar10", "text")
PRECISIONS = ("float32", "bfloat16", "float16")
OPTIMIZERS = ("sgd", "nesterov", "adam", "rmsprop", "adamw")


def train(add_command: AddCommand) -> None:
    command = add_command("train", help="train a net on images or text")
    _add_what_is_trained(command)
    add = command.add_argument
    add(
        "--accumulate-grad-batches",
        type=positive_int,
        default=1,
        metavar="N",
        help="make one update of the mean gradient of N batches (default: 1)",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="what the net computes in, with params in float32; for float16 the loss "
        "is scaled (default: float32)",
    )
    add(
        "--learning-rate",
        type=positive_float,
        help="at the start; it falls to zero along a cosine "
        "(default: 0.05 for sgd and nesterov, else 0.001)",
    )
    add("--momentum", type=momentum, help="of sgd, nesterov and rmsprop (default: 0.9)")
    add(
        "--seed",
        type=seed,
        default=0,
        help="decides everything that is random (default: 0)",
    )
    add("--out", type=Path, metavar="RUN_DIR", help="default: a new folder in runs/")
    add(
        "--resume",
        default="auto",
        metavar="auto|never|PATH",
        help="auto (the default): go on in RUN_DIR if it holds a run with the same "
        "options; PATH: from this checkpoint or run",
    )
    add(
        "--checkpoint-every",
        type=interval,
        metavar="N",
        help="steps, or seconds as 30s, besides the end of each epoch",
    )
    add(
        "--skip-nonfinite",
        type=positive_int,
        default=0,
        metavar="N",
        help="leave out up to N steps in a row whose gradient is infinite or NaN",
    )
    add(
        "--checked",
        action="store_true",
        help="look for NaN in every operation, to find where it arises (slow)",
    )
    add(
        "--tensorboard",
        action="store_true",
        help="also write the curves for TensorBoard, into RUN_DIR/tensorboard",
    )
    add(
        "--devices",
        type=devices,
        metavar="all|N",
        help="spread each batch over so many devices; on a CPU they share its cores, "
        "and two of them can be faster than one. With --coordinator all devices of a "
        "process work, and a CPU is made into N",
    )
    add(
        "--coordinator",
        metavar="HOST:PORT|auto",
        help="train together with other processes, which run the same command: where "
        "process 0 listens; auto: as Slurm, Open MPI or Kubernetes say",
    )
    add("--processes", type=positive_int, metavar="N", help="how many there are")
    add("--process-id", type=index, metavar="I", help="which this one is, from 0")
    add("--data-dir", **DATA_DIR)


def sweep(add_command: AddCommand) -> None:
    command = add_command(
        "sweep", help="train a net many times at once, and rank the results"
    )
    _add_what_is_trained(command)
    add = command.add_argument
    add(
        "--learning-rates",
        type=positive_floats,
        required=True,
        metavar="RATE,RATE,...",
        help="at the start; each falls to zero along a cosine",
    )
    add(
        "--momentums",
        type=momentums,
        metavar="MOMENTUM,...",
        help="of sgd, nesterov and rmsprop, each with each rate (default: 0.9)",
    )
    add(
        "--seeds",
        type=positive_int,
        default=1,
        metavar="N",
        help="how often to train with each of them, with seeds 0 to N - 1 (default: 1)",
    )
    add("--out", type=Path, metavar="DIR", help="default: a new folder in runs/")
    add("--data-dir", **DATA_DIR)


def _add_what_is_trained(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--data",
        choices=DATA,
        default="digits",
        help="scikit-learn's 1,797 digits (the default, no download), MNIST's 70,000, "
        "70,000 pictures of clothes, 60,000 colour photographs, or a text file",
    )
    add(
        "--model",
        choices=MODELS,
        help="default: lenet, the tutorial's net; char_lstm for text",
    )
    add(
        "--epochs",
        type=positive_int,
        help="default: 30 for digits, 5 for mnist, 20 for cifar10, else 10",
    )
    add(
        "--batch-size",
        type=positive_int,
        help="default: 32 for digits and text, else 64",
    )
    add("--optimizer", choices=OPTIMIZERS, help="default: sgd; adam for text")
