"""Seconds of an all-reduce: the sum of everyone's array, for everyone.

Reference: Thakur, Rabenseifner and Gropp, "Optimization of Collective Communication
Operations in MPICH", 2005.
"""

import math

from benchmarks.scaling.machines import Link, Machine


def ring(size: float, devices: int, link: Link) -> float:
    """Everyone passes on one part at a time, until all parts are summed up and known.

    Args:
      size: bytes of the array.
      devices: how many have one.
      link: between neighbors.
    """
    steps = 2 * (devices - 1)
    return steps * (size / devices / link.bandwidth + link.latency)


def tree(size: float, devices: int, link: Link) -> float:
    """Sums go up a tree and the result comes down, in a stream: the size counts twice.

    Where the devices are not joined by a switch there is none, and it takes forever.
    """
    if devices == 1:
        return 0.0
    if not link.switched:
        return math.inf
    return 2 * (size / link.bandwidth + math.ceil(math.log2(devices)) * link.latency)


def all_reduce(size: float, devices: int, machine: Machine) -> float:
    """The quicker of rings within rings, and of trees on top of trees.

    With rings, each member of a group goes on with its part of the sum alone.

    Raises:
      ValueError: devices is no power of two, or more than the machine has.
    """
    if devices < 1 or devices & (devices - 1) or devices > machine.most:
        raise ValueError(
            f"devices must be a power of two up to {machine.most}, got {devices}"
        )
    if devices == 1:
        return 0.0
    rings = trees = 0.0
    part = size
    for span, link in machine.levels:
        group = min(span, devices)
        rings += ring(part, group, link)
        trees += tree(size, group, link)
        part, devices = part / group, devices // group
    return machine.start + min(rings, trees)
