"""The command line: train a LeNet, test it, read digits, look inside, export."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from lenetjax.user_cache import keep_programs

MODELS = ("lenet", "lenet5", "mlp", "resnet20")
OPTIMIZERS = ("sgd", "nesterov", "adam", "rmsprop", "adamw")
TABLES = ("text", "html", "json")
EXPORTS = ("stablehlo", "huggingface")
GRAPHS = ("text", "dot", "mermaid", "svg")
PLATFORMS = ("cpu", "gpu", "tpu")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status.

    0; 1 where the command found something wrong or the training failed; 2 for a user's
    slip or a file that cannot be used; 130 and 143 after SIGINT and SIGTERM.

    Everything heavy is imported by the commands, so that --help answers at once.
    """
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # argparse itself would point to the help that lists no options
        command = f"{parser.prog} {options.command}"
        slip = f"unrecognized arguments: {' '.join(unknown)}"
        parser.exit(2, f"{command}: {slip} (see {command} --help)\n")
    if options.platform:
        os.environ["JAX_PLATFORMS"] = options.platform
    keep_programs()
    try:
        if options.platform:
            _need_platform(options.platform)
        from lenetjax import commands

        status: int = getattr(commands, options.command)(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as interrupt:
        return _say(options, f"interrupted{_saved(str(interrupt))}", 130)
    except SystemExit as stop:  # by SIGTERM
        return _say(options, f"stopped{_saved(getattr(stop, 'saved', ''))}", 143)
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        file = f": {error.filename}" if error.filename else ""
        return _say(options, f"{error.strerror or error}{file}", 2)
    except (ArithmeticError, MemoryError) as error:
        return _say(options, " ".join(str(error).split()) or repr(error), 1)
    except (ValueError, ImportError, RuntimeError) as error:
        return _say(options, " ".join(str(error).split()), 2)


def _need_platform(name: str) -> None:
    import jax

    try:
        jax.devices()
    except RuntimeError as error:
        raise RuntimeError(
            f"--platform {name}: JAX finds none here; leave the option out, or install "
            f'"lenetjax[cuda13]", "lenetjax[cuda12]" or "lenetjax[tpu]". {error}'
        ) from None


def _drop_output() -> None:
    """Keeps Python from trying once more, at its end, what could not be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _saved(saved: str) -> str:
    return f", {saved}; with --out RUN_DIR the same command goes on" if saved else ""


def _say(options: argparse.Namespace, message: str, status: int) -> int:
    print(f"lenetjax {options.command}: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="lenetjax", description=__doc__)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    train = commands.add_parser("train", help="train a net on handwritten digits")
    add = train.add_argument
    add(
        "--data",
        choices=("digits", "mnist"),
        default="digits",
        help="scikit-learn's 1,797 digits (no download), or MNIST's 70,000",
    )
    add("--model", **_MODEL)
    add("--epochs", type=_positive_int, help="default: 30 for digits, 5 for mnist")
    add("--batch-size", type=_positive_int, help="default: 32 for digits, 64 for mnist")
    add("--optimizer", choices=OPTIMIZERS, default="sgd", help="default: sgd")
    add(
        "--learning-rate",
        type=_positive_float,
        help="at the start; it falls to zero along a cosine "
        "(default: 0.05 for sgd and nesterov, else 0.001)",
    )
    add(
        "--momentum", type=_momentum, help="of sgd, nesterov and rmsprop (default: 0.9)"
    )
    add(
        "--seed",
        type=_seed,
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
        type=_interval,
        metavar="N",
        help="steps, or seconds as 30s, besides the end of each epoch",
    )
    add(
        "--skip-nonfinite",
        type=_positive_int,
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
    train.add_argument("--data-dir", **_DATA_DIR)

    evaluate = commands.add_parser("evaluate", help="test a trained net")
    evaluate.add_argument("run_dir", **_RUN_DIR)
    evaluate.add_argument("--data-dir", **_DATA_DIR)

    predict = commands.add_parser("predict", help="read digits from image files")
    predict.add_argument("run_dir", **_RUN_DIR)
    predict.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="a file of one digit (PNG, JPEG, BMP, GIF or WEBP) of any size, with dark "
        "ink on light paper or light on dark",
    )

    figures = commands.add_parser("figures", help="draw all pictures of a trained net")
    figures.add_argument("run_dir", **_RUN_DIR)
    figures.add_argument(
        "--out", type=Path, metavar="DIR", help="default: figures in RUN_DIR"
    )
    figures.add_argument("--data-dir", **_DATA_DIR)

    summary = commands.add_parser("summary", help="list a net's layers")
    summary.add_argument(
        "--format", choices=TABLES, default="text", help="default: text"
    )

    graph = commands.add_parser("graph", help="follow a net's loss, layer by layer")
    graph.add_argument("--format", choices=GRAPHS, default="text", help="default: text")
    graph.add_argument(
        "--backward", action="store_true", help="the gradient's way back"
    )

    for command in (summary, graph):
        which = command.add_mutually_exclusive_group()
        which.add_argument("run_dir", nargs="?", **_RUN_DIR)
        which.add_argument("--model", **_MODEL)

    export = commands.add_parser(
        "export", help="write a trained net for other programs"
    )
    export.add_argument("run_dir", **_RUN_DIR)
    export.add_argument(
        "--format",
        choices=EXPORTS,
        default="stablehlo",
        help="stablehlo (the default): one program with its weights, for jax.export to "
        "call on CPU, CUDA and TPU; huggingface: a folder with model.safetensors and "
        "config.json",
    )
    export.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="default: model.stablehlo or huggingface in RUN_DIR",
    )
    export.add_argument(
        "--batch-size",
        type=_batch_size,
        metavar="N|symbolic",
        help="of stablehlo: images in a call (default: symbolic, any number)",
    )

    check = commands.add_parser(
        "check", help="verify a run, a checkpoint, weights or an IDX file"
    )
    check.add_argument(
        "path",
        type=Path,
        metavar="RUN_DIR|FILE",
        help="a run's folder, a folder of checkpoints, or one file",
    )

    for command in (
        train, evaluate, predict, figures, summary, graph, export, check
    ):  # fmt: skip
        command.add_argument(
            "--platform",
            choices=PLATFORMS,
            help="where to compute (default: the best that JAX finds)",
        )
    return parser


_MODEL: dict[str, Any] = {
    "choices": MODELS,
    "default": "lenet",
    "help": "default: lenet, the tutorial's net",
}

_RUN_DIR: dict[str, Any] = {
    "type": Path,
    "metavar": "RUN_DIR",
    "help": "the folder that lenetjax train saved in",
}

_DATA_DIR: dict[str, Any] = {
    "type": Path,
    "help": "the folder with the MNIST files (default: $LENETJAX_DATA, the cache "
    "folder, or a download into it)",
}


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def _batch_size(text: str) -> int | str:
    return text if text == "symbolic" else _positive_int(text)


def _interval(text: str) -> int | str:
    if text.endswith("s"):
        _positive_float(text[:-1])
        return text
    return _positive_int(text)


def _positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def _momentum(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be from 0 up to 1, got {text}")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be from 0 to 2**32 - 1, got {text}")
    return value


for _type, _name in (
    (_positive_int, "int"),
    (_batch_size, "int"),
    (_interval, "interval"),
    (_positive_float, "number"),
    (_momentum, "number"),
    (_seed, "int"),
):
    _type.__name__ = _name  # argparse says "invalid int value", with this name
