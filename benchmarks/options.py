"""What the command can be told."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from benchmarks.peers import OURS, PEERS
from benchmarks.setup import IMAGES

PARTS = (
    "peak", "step", "forward", "epoch", "scaling", "overhead", "calls", "ensemble",
    "devices", "split", "compile", "saving", "mnist99",
)  # fmt: skip
BATCHES = (32, 64, 128, 256, 1024)
DEEP_BATCHES = (32, 64, 128)  # of ResNet-20, whose steps take long
SCALING_BATCHES = (64, 128, 256, 512, 1024, 2048, 4096)
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Options:
    """The command's options; see `--help`."""

    platform: str
    precision: str
    threads: int
    parts: tuple[str, ...]
    models: tuple[str, ...]
    peers: tuple[str, ...]
    batches: tuple[int, ...] | None
    rounds: int
    seconds: float
    quick: bool
    out: Path | None

    def batches_of(self, model: str) -> tuple[int, ...]:
        """The batches at which a model is measured."""
        if self.batches is not None:
            return self.batches
        if self.quick:
            return (32,)
        return DEEP_BATCHES if model == "resnet20" else BATCHES

    @property
    def complete(self) -> bool:
        """Whether the run measures all there is, as the published results do."""
        return (
            not self.quick
            and self.batches is None
            and set(self.parts) >= set(PARTS) - {"mnist99"}
            and set(self.models) == set(IMAGES)
            and set(self.peers) == set(PEERS)
        )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line; a slip ends the program with a line that says which."""
    cores = _cores()
    parser = _Parser(
        prog="python -m benchmarks",
        description="Measures lenetjax and its peers in turns, and writes the results.",
    )
    add = parser.add_argument
    add("--platform", choices=("cpu", "gpu"), default="cpu")
    add(
        "--precision",
        choices=("highest", "tf32"),
        default="highest",
        help="of float32 products on a GPU, for all alike (default: highest)",
    )
    add(
        "--threads",
        type=_number(1, cores),
        default=cores,
        help=f"cores for each process (default: all {cores})",
    )
    add(
        "--only",
        type=_names(PARTS),
        metavar="PART,...",
        help=f"some of {', '.join(PARTS)} (default: all; mnist99 on a GPU only)",
    )
    add("--models", type=_names(IMAGES), default=tuple(IMAGES), metavar="MODEL,...",
        help=f"some of {', '.join(IMAGES)}")  # fmt: skip
    add("--peers", type=_names(PEERS), default=tuple(PEERS), metavar="PEER,...",
        help=f"some of {', '.join(PEERS)}")  # fmt: skip
    add(
        "--batches",
        type=_numbers,
        metavar="N,...",
        help=f"images in a batch (default: {_list(BATCHES)}; for resnet20 "
        f"{_list(DEEP_BATCHES)})",
    )
    add("--rounds", type=_number(1), help="turns that each takes (default: 10)")
    add(
        "--seconds",
        type=float,
        help="of a turn; a call that takes longer is timed alone (default: 0.15)",
    )
    add("--quick", action="store_true", help="some minutes: to see that all works")
    add("--out", type=Path, metavar="FILE.json", help="where to write the results")
    given = parser.parse_args(arguments)
    default = [part for part in PARTS if part != "mnist99" or given.platform == "gpu"]
    seconds = given.seconds or (0.03 if given.quick else 0.15)
    if not 0 < seconds <= 60:
        parser.error(f"--seconds must be more than 0 and at most 60, got {seconds}")
    if OURS not in given.peers:
        given.peers = (OURS, *given.peers)
    return Options(
        platform=given.platform,
        precision=given.precision if given.platform == "gpu" else "float32",
        threads=given.threads,
        parts=given.only or tuple(default),
        models=given.models,
        peers=given.peers,
        batches=given.batches,
        rounds=given.rounds or (2 if given.quick else 10),
        seconds=seconds,
        quick=given.quick,
        out=given.out,
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _names:
    """Takes names from a list, separated by commas."""

    def __init__(self, known: Sequence[str] | dict[str, object]) -> None:
        self.known = tuple(known)

    def __call__(self, text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        for name in names or [text]:
            if name not in self.known:
                raise argparse.ArgumentTypeError(
                    f"there is no {name!r}; choose from {', '.join(self.known)}"
                )
        return names


class _number:
    """Takes an int within bounds."""

    def __init__(self, low: int, high: int | None = None) -> None:
        self.low, self.high = low, high

    def __call__(self, text: str) -> int:
        bounds = (
            f"from {self.low} to {self.high}"
            if self.high
            else f"of at least {self.low}"
        )
        try:
            value = int(text)
        except ValueError:
            value = self.low - 1
        if value < self.low or (self.high is not None and value > self.high):
            raise argparse.ArgumentTypeError(f"must be a number {bounds}, got {text!r}")
        return value


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({_number(2)(part) for part in text.split(",")}))


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
