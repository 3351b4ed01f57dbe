"""The command: ``python -m benchmarks.scaling``."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.scaling.figure import draw_limits, draw_shares
from benchmarks.scaling.machines import machines
from benchmarks.scaling.nets import all_nets
from benchmarks.scaling.tables import blocks

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
BLOCK = re.compile(r"(<!-- ([a-z ]+): made -->\n).*?(<!-- end -->)", re.DOTALL)


def rewritten(page: str, made: Mapping[str, str]) -> str:
    """The page with each block made anew between its markers.

    Raises:
      KeyError: a marker names no block.
    """
    return BLOCK.sub(lambda m: f"{m[1]}\n{made[m[2]]}\n\n{m[3]}", page)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling",
        description="Writes the numbers and pictures of the note on scaling anew.",
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="docs/scaling.md")
    page = parser.parse_args(arguments).page
    nets = all_nets()
    found = machines(nets[0])
    text = page.read_text(encoding="utf-8")
    page.write_text(rewritten(text, blocks(nets, found)), encoding="utf-8")
    draw_limits(nets, found[0], page.with_name("scaling_limits.png"))
    draw_shares(nets, found[0], 8192, page.with_name("scaling_shares.png"))
    print(f"wrote {page} and two pictures beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
