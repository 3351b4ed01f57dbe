"""Seconds of a training step, by devices, and where more of them stop paying."""

from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from benchmarks.scaling.links import all_reduce
from benchmarks.scaling.machines import Machine, roofline
from benchmarks.scaling.nets import Net

PAYS = 1.5  # times as fast with twice the devices


class Step(NamedTuple):
    """Seconds that a step spends on each.

    Fields:
      overhead: of the layers, whatever the batch.
      images: arithmetic and memory, for the images of one device.
      gradients: their all-reduce, as far as it does not hide behind arithmetic.
      norms: the all-reduces of batch norms.
    """

    overhead: float
    images: float
    gradients: float
    norms: float

    @property
    def seconds(self) -> float:
        return sum(self)


def step(
    net: Net, machine: Machine, devices: int, batch: float, *, overlapped: bool = False
) -> Step:
    """A step of a batch that the devices share evenly.

    Args:
      net: counted.
      machine: its devices and links.
      devices: a power of two.
      batch: images, of all devices.
      overlapped: whether the gradients travel while others are computed: two thirds of
        the arithmetic at most, a bound that no order of the layers can beat.
    """
    overhead = net.products * machine.layer
    each = machine.slowness * roofline(net, machine.peak, machine.memory)
    images = each * batch / devices
    gradients = all_reduce(net.gradients, devices, machine)
    if overlapped:
        gradients = max(0.0, gradients - 2 / 3 * (overhead + images))
    norms = 0.0
    if net.norms:
        statistic = sum(net.norms) / len(net.norms)
        norms = net.norm_reductions * all_reduce(statistic, devices, machine)
    return Step(overhead, images, gradients, norms)


def counts(most: int) -> list[int]:
    """1, 2, 4, ... devices."""
    return [2**power for power in range(most.bit_length())]


def strong(net: Net, machine: Machine, batch: int, **how: bool) -> dict[int, float]:
    """Seconds of a step by devices, of one batch that they share."""
    devices = counts(min(machine.most, batch, 1024))
    return {n: step(net, machine, n, batch, **how).seconds for n in devices}


def weak(net: Net, machine: Machine, batch: int, **how: bool) -> dict[int, float]:
    """Seconds of a step by devices, with so many images for each."""
    devices = counts(min(machine.most, 1024))
    return {n: step(net, machine, n, batch * n, **how).seconds for n in devices}


def pays_up_to(seconds: Mapping[int, float]) -> int:
    """The devices up to which each doubling makes a step 1.5 times as fast."""
    devices = sorted(seconds)
    for fewer, more in pairwise(devices):
        if seconds[fewer] < PAYS * seconds[more]:
            return fewer
    return devices[-1]


def fastest(seconds: Mapping[int, float]) -> int:
    """The devices with which a step is fastest; the fewest, where some are equal."""
    return min(sorted(seconds), key=lambda devices: seconds[devices])


def images_for_each(net: Net, machine: Machine, devices: int) -> float:
    """Images that each device must have so that twice as many still pay.

    With w seconds for its images, and r or s for all else on as many devices or twice
    as many, that is where r + w = 1.5 (s + w / 2).
    """
    r = step(net, machine, devices, 0).seconds
    s = step(net, machine, 2 * devices, 0).seconds
    each = step(net, machine, 1, 1).images
    return max(0.0, (PAYS * s - r) / (1 - PAYS / 2) / each)
