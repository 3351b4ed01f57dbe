"""The options of lenetjax train."""

from pathlib import Path

from lenetjax.options.shared import DATA_DIR, MODEL, AddCommand
from lenetjax.options.types import (
    interval,
    momentum,
    positive_float,
    positive_int,
    seed,
)

PRECISIONS = ("float32", "bfloat16", "float16")
OPTIMIZERS = ("sgd", "nesterov", "adam", "rmsprop", "adamw")


def train(add_command: AddCommand) -> None:
    command = add_command("train", help="train a net on handwritten digits")
    add = command.add_argument
    add(
        "--data",
        choices=("digits", "mnist"),
        default="digits",
        help="scikit-learn's 1,797 digits (no download), or MNIST's 70,000",
    )
    add("--model", **MODEL)
    add("--epochs", type=positive_int, help="default: 30 for digits, 5 for mnist")
    add("--batch-size", type=positive_int, help="default: 32 for digits, 64 for mnist")
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
    add("--optimizer", choices=OPTIMIZERS, default="sgd", help="default: sgd")
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
    add("--data-dir", **DATA_DIR)
