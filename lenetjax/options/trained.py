"""The options of lenetjax evaluate, predict, figures, export and check."""

from pathlib import Path

from lenetjax.options.shared import DATA_DIR, RUN_DIR, AddCommand
from lenetjax.options.types import batch_size

EXPORTS = ("stablehlo", "huggingface")


def evaluate(add_command: AddCommand) -> None:
    command = add_command("evaluate", help="test a trained net")
    command.add_argument("run_dir", **RUN_DIR)
    command.add_argument("--data-dir", **DATA_DIR)


def predict(add_command: AddCommand) -> None:
    command = add_command("predict", help="say what image files show")
    command.add_argument("run_dir", **RUN_DIR)
    command.add_argument(
        "images",
        type=Path,
        nargs="+",
        metavar="IMAGE",
        help="a file of one digit, or what the net was trained on (PNG, JPEG, BMP, GIF "
        "or WEBP), of any size, with dark ink on light paper or light on dark",
    )


def figures(add_command: AddCommand) -> None:
    command = add_command("figures", help="draw all pictures of a trained net")
    command.add_argument("run_dir", **RUN_DIR)
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="default: figures in RUN_DIR"
    )
    command.add_argument("--data-dir", **DATA_DIR)


def export(add_command: AddCommand) -> None:
    command = add_command("export", help="write a trained net for other programs")
    command.add_argument("run_dir", **RUN_DIR)
    command.add_argument(
        "--format",
        choices=EXPORTS,
        default="stablehlo",
        help="stablehlo (the default): one program with its weights, for jax.export to "
        "call on CPU, CUDA and TPU; huggingface: a folder with model.safetensors and "
        "config.json",
    )
    command.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="default: model.stablehlo or huggingface in RUN_DIR",
    )
    command.add_argument(
        "--batch-size",
        type=batch_size,
        metavar="N|symbolic",
        help="of stablehlo: images in a call (default: symbolic, any number)",
    )


def check(add_command: AddCommand) -> None:
    command = add_command(
        "check", help="verify a run, a checkpoint, weights, an IDX file or CIFAR-10"
    )
    command.add_argument(
        "path",
        type=Path,
        metavar="RUN_DIR|FILE",
        help="a run's folder, a folder of checkpoints, or one file",
    )
