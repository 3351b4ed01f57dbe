"""The options of each command; nothing heavy is imported here."""

import argparse
from typing import NoReturn

from lenetjax.options.describing import graph, summary
from lenetjax.options.trained import check, evaluate, export, figures, predict
from lenetjax.options.training import sweep, train

PLATFORMS = ("cpu", "gpu", "tpu")
COMMANDS = (train, sweep, evaluate, predict, figures, summary, graph, export, check)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser(description: str) -> argparse.ArgumentParser:
    """Builds the parser of the command line.

    Args:
      description: what the program does.
    """
    found = _Parser(prog="lenetjax", description=description)
    commands = found.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=_Parser
    )
    for add_command in COMMANDS:
        add_command(commands.add_parser)
    for command in commands.choices.values():
        command.add_argument(
            "--platform",
            choices=PLATFORMS,
            help="where to compute (default: the best that JAX finds)",
        )
    return found
