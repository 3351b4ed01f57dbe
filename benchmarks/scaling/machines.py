"""Machines in a few numbers: published figures, and steps that were measured.

Where a figure is a bound, it is the one in favor of more devices: full bandwidth and
the least latency at the same time. So the note's limits are upper ones.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.scaling.nets import Net

RESULTS = Path(__file__).parents[1] / "results"
# Each output is written and read, forward; and twice more on the way back.
PASSES = 6
# LeNet on an H200, seconds of a step by batch: NOTES.md, "On a GPU", "Both (kept)".
LENET_H200 = {64: 107e-6, 256: 160e-6, 1024: 355e-6}
H200 = (67e12, 4.8e12)  # FLOP/s in float32, bytes/s of memory: NVIDIA's data sheet


class Link(NamedTuple):
    """What joins devices: bytes/s in one direction, seconds for a message.

    `switched` is whether any two are one message apart, as trees need; a ring is not.
    """

    bandwidth: float
    latency: float
    switched: bool = True


class Machine(NamedTuple):
    """Equal devices, in groups of groups.

    Fields:
      name: of the machine.
      peak: FLOP/s of a device.
      memory: bytes/s of its memory.
      layer: seconds that each layer with products costs, however small the batch.
      slowness: how many times longer than `roofline` the rest takes.
      start: seconds to begin an all-reduce.
      levels: how many devices, or groups of the level before, are joined by which link.
    """

    name: str
    peak: float
    memory: float
    layer: float
    slowness: float
    start: float
    levels: tuple[tuple[int, Link], ...]

    @property
    def most(self) -> int:
        """How many devices there are."""
        return int(np.prod([size for size, _ in self.levels]))


def roofline(net: Net, peak: float, memory: float) -> float:
    """Seconds per image that a training step takes at least.

    Reference: Williams et al., "Roofline", 2009.
    """
    return max(net.flops / peak, PASSES * net.outputs / memory)


def calibrated(
    lenet: Net, steps: Mapping[int, float], peak: float, memory: float
) -> tuple[float, float]:
    """`layer` and `slowness` of a machine, from LeNet's steps by batch.

    Of the line through them; each step weighs alike.
    """
    batches, seconds = np.array(list(steps)), np.array(list(steps.values()))
    each, fixed = np.polyfit(batches, seconds, 1, w=1 / seconds)
    layer = max(0.0, float(fixed)) / lenet.products
    return layer, float(each) / roofline(lenet, peak, memory)


def published(name: str) -> dict[str, Any]:
    """What a run of `python -m benchmarks` found: "cpu", or "devices"."""
    text = (RESULTS / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def machines(lenet: Net) -> tuple[Machine, ...]:
    """The machines of the note."""
    found = published("cpu")
    cpu_peak = 1e9 * max(row["gflops"] for row in found["peak"])
    cpu_steps = {row["batch"]: row["median"] for row in found["scaling"]}
    gpu = calibrated(lenet, LENET_H200, *H200)
    return (
        # NVIDIA's data sheets of the H100 SXM (67 TFLOP/s, 3.35 TB/s, NVLink of 900
        # GB/s in both directions) and of the DGX H100 (400 Gb/s of InfiniBand for each
        # of 8 GPUs). Latencies are those that NCCL reckons with for short messages
        # (src/graph/tuning.cc: ring, LL, 6.6 us and 0.6 or 2.7 us more for each step).
        Machine(
            "H100", 67e12, 3.35e12, *gpu, 6.6e-6,
            ((8, Link(450e9, 0.6e-6)), (128, Link(50e9, 2.7e-6))),
        ),
        # Google's page on the v5e (197 TFLOP/s in bfloat16, 819 GB/s, 16x16 chips) and
        # "How to Scale Your Model", parts 2 and 3 (90 GB/s along an axis in both
        # directions, 1 us a hop; in both directions a ring takes half the hops). How
        # far a step stays behind the roofline is taken from the GPU.
        Machine(
            "TPU v5e", 197e12, 819e9, *gpu, 0.0,
            ((16, Link(90e9, 0.5e-6, switched=False)),) * 2,
        ),
        # LeNet's steps as measured, joined by Ethernet of 10 Gb/s. 30 us for a message
        # is an assumption, and so is no limit by memory.
        Machine(
            "2 cores, Ethernet", cpu_peak, float("inf"),
            *calibrated(lenet, cpu_steps, cpu_peak, float("inf")), 0.0,
            ((1024, Link(1.25e9, 30e-6)),),
        ),
    )  # fmt: skip
