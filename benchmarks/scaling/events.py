"""A step gone through event by event: layers backward, gradients in buckets on a link.

`steps.step` says by formula how long it takes when the gradients travel at the end,
and how long at least when they travel in between; this says what a size of buckets
gives. DistributedDataParallel of PyTorch works so (Li et al., 2020).
"""

from benchmarks.scaling.links import all_reduce
from benchmarks.scaling.machines import Machine
from benchmarks.scaling.nets import Net
from benchmarks.scaling.steps import step


def simulate(
    net: Net, machine: Machine, devices: int, batch: float, bucket: float
) -> float:
    """Seconds of a step without batch norms' all-reduces.

    Args:
      net: counted; each layer takes its share of the arithmetic.
      machine: its devices and links.
      devices: a power of two.
      batch: images, of all devices.
      bucket: bytes of gradients that are sent off together, once there are as many;
        the first layer sends off what is left.
    """
    alone = step(net, machine, devices, batch)
    arithmetic = alone.overhead + alone.images
    flops = sum(part.flops for part in net.parts)
    clock = arithmetic / 3  # forward
    free = 0.0  # from when on the link is
    waiting = 0
    for place, part in reversed(list(enumerate(net.parts))):
        clock += arithmetic * 2 / 3 * part.flops / flops
        waiting += part.bytes
        if waiting and (waiting >= bucket or place == 0):
            free = max(clock, free) + all_reduce(waiting, devices, machine)
            waiting = 0
    return max(clock, free)
