"""The options of lenetjax summary and graph."""

import argparse

from lenetjax.options.shared import MODEL, RUN_DIR, AddCommand
from lenetjax.options.types import positive_int

TABLES = ("text", "html", "json")
GRAPHS = ("text", "dot", "mermaid", "svg")


def summary(add_command: AddCommand) -> None:
    command = add_command("summary", help="list a net's layers")
    command.add_argument(
        "--format", choices=TABLES, default="text", help="default: text"
    )
    command.add_argument(
        "--batch-size", type=positive_int, default=1, metavar="N", help="default: 1"
    )
    command.add_argument(
        "--memory",
        action="store_true",
        help="also what training on such a batch takes, and inference, in bytes",
    )
    _add_net(command)


def graph(add_command: AddCommand) -> None:
    command = add_command("graph", help="follow a net's loss, layer by layer")
    command.add_argument(
        "--format", choices=GRAPHS, default="text", help="default: text"
    )
    command.add_argument(
        "--backward", action="store_true", help="the gradient's way back"
    )
    _add_net(command)


def _add_net(command: argparse.ArgumentParser) -> None:
    """A run's net, or one by its name."""
    which = command.add_mutually_exclusive_group()
    which.add_argument("run_dir", nargs="?", **RUN_DIR)
    which.add_argument("--model", **MODEL)
