"""The communication in a compiled program, read from its text."""

import math
import re

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all")
CALL = re.compile(rf"= (.*?) ({'|'.join(KINDS)}|collective-permute)\(")
SHAPE = re.compile(r"\b(pred|[a-z]+(\d+))\[([\d,]*)\]")


def collectives(text: str) -> dict[str, list[int]]:
    """The bytes that each result takes, by the kind of the operation.

    Arrays that travel together count as one; what a loop repeats counts once.
    """
    found: dict[str, list[int]] = {}
    for result, kind in CALL.findall(text):
        found.setdefault(kind, []).append(
            sum(
                math.prod(int(size) for size in shape.split(",") if size)
                * (int(bits) // 8 if bits else 1)
                for _, bits, shape in SHAPE.findall(result)
            )
        )
    return found
