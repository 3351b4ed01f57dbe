"""What the note says in numbers: a block of Markdown for each of its markers."""

import math
import textwrap
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.peers import OURS
from benchmarks.scaling.events import simulate
from benchmarks.scaling.links import all_reduce
from benchmarks.scaling.machines import Link, Machine, published
from benchmarks.scaling.nets import Net
from benchmarks.scaling.steps import (
    PAYS,
    counts,
    fastest,
    images_for_each,
    pays_up_to,
    step,
    strong,
    weak,
)
from benchmarks.sections import NAMES, digits

BATCHES = (64, 256, 1024, 8192, 65536)
NOT_YET = "Not measured yet on a quiet machine."
OWN = "own batch norms"


def variants(nets: Iterable[Net]) -> list[tuple[str, Net]]:
    """The nets, and those with batch norms once more with norms of their own."""
    found = []
    for net in nets:
        found.append((net.name, net))
        if net.norms:
            found.append((f"{net.name}, {OWN}", net.with_own_norms()))
    return found


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Numbers stand to the right, but for the first column."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def micro(seconds: float) -> str:
    return digits(seconds * 1e6) if seconds else "0"


def net_table(nets: Iterable[Net]) -> str:
    head = ["", "gradients, bytes", "MFLOP per image", "outputs, bytes per image",
            "layers with products", "batch norms", "their all-reduces"]  # fmt: skip
    rows = [
        [net.name, f"{net.gradients:,}", f"{net.flops / 1e6:.2f}", f"{net.outputs:,}",
         str(net.products), str(len(net.norms)), str(net.norm_reductions)]
        for net in nets
    ]  # fmt: skip
    return table(head, rows)


def machine_table(machines: Iterable[Machine]) -> str:
    head = ["", "TFLOP/s", "memory, GB/s", "us for a layer", "times the roofline",
            "links, devices x GB/s, us for a message"]  # fmt: skip
    rows = []
    for machine in machines:
        links = "; ".join(
            f"{span} x {link.bandwidth / 1e9:g}, {link.latency * 1e6:g}"
            for span, link in machine.levels
        )
        if machine.start:
            links += f"; {machine.start * 1e6:g} us to begin"
        memory = "-" if math.isinf(machine.memory) else f"{machine.memory / 1e9:,.0f}"
        rows.append(
            [machine.name, f"{machine.peak / 1e12:.3g}", memory, micro(machine.layer),
             f"{machine.slowness:.2f}", links]
        )  # fmt: skip
    return table(head, rows)


def foretold(net: Net, cores: Machine) -> str:
    """The paper's step of a net that it was not fitted to, beside the measured one."""
    rows = [
        row
        for row in published("cpu")["step"]
        if row["model"] == "resnet20" and row["peer"] == OURS
    ]
    cells = [
        [f"{row['batch']}", digits(1e3 * step(net, cores, 1, row["batch"]).seconds),
         digits(1e3 * row["median"])]
        for row in rows
    ]  # fmt: skip
    return table(["ResNet-20, batch", "on paper, ms", "measured, ms"], cells)


def limit_table(nets: Iterable[Net], machines: Iterable[Machine]) -> str:
    """Devices that pay, and the fastest, by net, machine and batch."""
    head = ["", *(f"batch {batch:,}" for batch in BATCHES)]
    rows = []
    for name, net in variants(nets):
        for machine in machines:
            cells = []
            for batch in BATCHES:
                seconds = strong(net, machine, batch)
                pays, most = pays_up_to(seconds), fastest(seconds)
                gains = [seconds[1] / seconds[n] for n in (pays, most)]
                cells.append(f"{pays:,} ({gains[0]:.1f}x); {most:,} ({gains[1]:.1f}x)")
            rows.append([f"{name}: {machine.name}", *cells])
    return table(head, rows)


def share_table(nets: Iterable[Net], machine: Machine, batch: int) -> str:
    """Where a step's time goes, by devices."""
    head = ["", "devices", "layers, us", "images, us", "gradients, us",
            "batch norms, us", "step, us", "images/s", "efficiency"]  # fmt: skip
    rows = []
    for net in nets:
        alone = step(net, machine, 1, batch).seconds
        for n in (1, 2, 4, 8, 16, 64, 256, 1024):
            there = step(net, machine, n, batch)
            rows.append(
                [net.name, f"{n:,}", *map(micro, (*there, there.seconds)),
                 f"{batch / there.seconds:,.0f}", f"{alone / there.seconds / n:.0%}"]
            )  # fmt: skip
    return table(head, rows)


def weak_table(nets: Iterable[Net], machines: Iterable[Machine], batch: int) -> str:
    """How much of the images per second is left when each device has as many."""
    devices = (2, 8, 64, 256, 1024)
    rows = []
    for name, net in variants(nets):
        for machine in machines:
            seconds = weak(net, machine, batch)
            cells = [
                f"{seconds[1] / seconds[n]:.0%}" if n in seconds else "-"
                for n in devices
            ]
            rows.append([f"{name}: {machine.name}", *cells])
    return table(["", *(f"{n:,} devices" for n in devices)], rows)


def overlap_table(nets: Iterable[Net], machine: Machine, for_each: int) -> str:
    """What sending gradients off early gives, without batch norms' all-reduces."""
    head = ["", "devices", "at the end, us", "each layer's at once, us",
            "in buckets of 64 KB, us", "bound, us"]  # fmt: skip
    rows = []
    for net in nets:
        own = net.with_own_norms()
        for n in (8, 64, 1024):
            ways = [
                simulate(own, machine, n, for_each * n, bucket)
                for bucket in (math.inf, 0, 2**16)
            ]
            bound = step(own, machine, n, for_each * n, overlapped=True).seconds
            rows.append([net.name, f"{n:,}", *map(micro, (*ways, bound))])
    return table(head, rows)


def changed(machine: Machine, bandwidth: float = 1, latency: float = 1) -> Machine:
    """The machine with other links: so many times the bandwidth and the latency."""
    levels = tuple(
        (span, Link(link.bandwidth * bandwidth, link.latency * latency, link.switched))
        for span, link in machine.levels
    )
    return machine._replace(levels=levels, start=machine.start * latency)


def what_if_table(nets: Iterable[Net], machine: Machine, batch: int) -> str:
    """Devices that pay if one thing were otherwise."""
    cases: dict[str, tuple[Machine, dict[str, Any]]] = {
        "as it is": (machine, {}),
        "bandwidth without limit": (changed(machine, bandwidth=math.inf), {}),
        "no latency": (changed(machine, latency=0), {}),
        "latency doubled": (changed(machine, latency=2), {}),
        "bandwidth halved": (changed(machine, bandwidth=0.5), {}),
        "layers cost nothing by themselves": (machine._replace(layer=0.0), {}),
        "layers cost double": (machine._replace(layer=2 * machine.layer), {}),
        "images take half the time": (
            machine._replace(slowness=machine.slowness / 2), {},
        ),
        "gradients hidden behind arithmetic": (machine, {"overlapped": True}),
    }  # fmt: skip
    named = variants(nets)
    rows = [
        [
            what,
            *(f"{pays_up_to(strong(net, there, batch, **how)):,}" for _, net in named),
        ]
        for what, (there, how) in cases.items()
    ]
    return table(["", *(name for name, _ in named)], rows)


def counted_table() -> str:
    """What compiled steps communicate."""
    rows = []
    for row in published("devices")["devices"]:
        told = [
            f"{found['count']} {kind}, {found['bytes']:,} bytes"
            for kind, found in sorted(row["collectives"].items())
        ]
        rows.append(
            [f"{NAMES[row['model']]}, `{row['way']}`", str(row["devices"]),
             "; ".join(told) or "none", f"{row['flops'] / 1e6:,.1f}"]
        )  # fmt: skip
    return table(["", "devices", "communication", "MFLOP of each"], rows)


def timed_table() -> str:
    """One device and two, on the same cores."""
    found = published("devices")
    if "split" not in found:
        return NOT_YET
    rows = [
        [f"{NAMES[row['model']]}, `{row['way']}`", str(row["batch"]),
         *(digits(row[name]["median"] * 1e3) for name in ("one", "two")),
         f"{row['ratio']['median']:.2f}"]
        for row in found["split"]
    ]  # fmt: skip
    return table(["", "batch", "one device, ms", "two, ms", "one / two"], rows)


def reduced_table() -> str:
    """All-reduces among two emulated devices, and the line that the formula wants."""
    rows = published("devices").get("all_reduce", [])
    if not rows:
        return NOT_YET
    times = {(row["way"], row["bytes"]): row["median"] for row in rows}
    sizes = sorted({row["bytes"] for row in rows})
    full = np.array([times["all-reduce", size] for size in sizes])
    empty = np.array([times["nothing", size] for size in sizes])
    # A ring of two: two messages of half the bytes each.
    each, fixed = np.polyfit(sizes, full, 1, w=1 / full)
    cells = [
        [f"{size:,}", *map(micro, (a, b, fixed + each * size))]
        for size, a, b in zip(sizes, full, empty, strict=True)
    ]
    head = ["bytes", "all-reduce, us", "a program without, us", "on the line, us"]
    return (
        f"{table(head, cells)}\n\nThe line stands for {1 / each / 1e9:.3g} GB/s and "
        f"{micro(fixed / 2)} us for a message."
    )


def answer(nets: Iterable[Net], machine: Machine) -> str:
    """The first paragraph: how far it pays, and why."""
    lenet, resnet, *_ = nets
    own = resnet.with_own_norms()

    def pays(net: Net) -> str:
        limits = (pays_up_to(strong(net, machine, batch)) for batch in BATCHES)
        found = [
            f"{limit:,} at {batch:,}"
            for limit, batch in zip(limits, BATCHES, strict=True)
        ]
        return f"{', '.join(found[1:-1])} and {found[-1]}"

    def needs(net: Net) -> str:
        found = [images_for_each(net, machine, n) for n in counts(512)]
        return f"{min(found):.0f} to {max(found):.0f}"

    rest = step(lenet, machine, 8, 0)
    return textwrap.fill(
        f"On {machine.name} GPUs, data parallelism pays for LeNet up to so many GPUs, "
        f"by the images in a batch: {pays(lenet)}. Where each GPU has fewer than "
        f"{needs(lenet)} images, twice as many GPUs are not {PAYS:g} times as fast. "
        f"The {lenet.gradients:,} bytes of its gradients take "
        f"{micro(rest.gradients)} us among 8 GPUs, but the step takes "
        f"{micro(rest.overhead)} us however few images there are, and more GPUs do not "
        f"shorten that. ResNet-20 has {resnet.flops / lenet.flops:.0f} times the "
        f"arithmetic. With batch norms of each GPU's own images it pays up to "
        f"{pays(own)}, with {needs(own)} images for each. With batch norms over the "
        f"whole batch, as one GPU would compute them, it pays up to {pays(resnet)}: "
        f"{resnet.norm_reductions} all-reduces follow each other, "
        f"of {min(resnet.norms)} to {max(resnet.norms)} bytes, and each takes "
        f"{micro(all_reduce(max(resnet.norms), 8, machine))} us among 8. What limits "
        "them is latency and overhead; unlimited bandwidth would move no limit by more "
        "than one doubling.",
        88,
    )


def blocks(nets: tuple[Net, ...], machines: tuple[Machine, ...]) -> dict[str, str]:
    """All of them, by the name of the marker."""
    gpu = machines[0]
    return {
        "answer": answer(nets, gpu),
        "nets": net_table(nets),
        "machines": machine_table(machines),
        "foretold": foretold(nets[1], machines[-1]),
        "limits": limit_table(nets, machines),
        "shares": share_table(nets, gpu, 8192),
        "weak": weak_table(nets, machines, 64),
        "overlap": overlap_table(nets, gpu, 64),
        "what if": what_if_table(nets, gpu, 8192),
        "counted": counted_table(),
        "timed": timed_table(),
        "reduced": reduced_table(),
    }
