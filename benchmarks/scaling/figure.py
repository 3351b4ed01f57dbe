"""The pictures of the note."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.scaling.machines import Machine
from benchmarks.scaling.nets import Net
from benchmarks.scaling.steps import counts, pays_up_to, step, strong
from benchmarks.scaling.tables import BATCHES, variants

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colors.
COLORS = ("#56B4E9", "#009E73", "#E69F00", "#D55E00", "#0072B2")
SHARES = {
    "layers, however few images": "#999999", "images": "#009E73",
    "gradients": "#E69F00", "batch norms": "#0072B2",
}  # fmt: skip


def draw_limits(nets: Sequence[Net], machine: Machine, path: Path) -> None:
    """Times as fast as one device, by devices and batch."""
    from matplotlib.figure import Figure

    named = variants(nets)
    figure = Figure(figsize=(4 * len(named), 4.4), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(named), sharey=True)
    for panel, (name, net) in zip(panels, named, strict=True):
        panel.plot(counts(1024), counts(1024), color="#BBBBBB", linestyle=":",
                   label="ideal")  # fmt: skip
        for batch, color in zip(BATCHES, COLORS, strict=True):
            seconds = strong(net, machine, batch)
            gains = {n: seconds[1] / each for n, each in seconds.items()}
            panel.plot(gains.keys(), gains.values(), color=color,
                       label=f"batch {batch:,}")  # fmt: skip
            pays = pays_up_to(seconds)
            panel.plot(pays, gains[pays], "o", color=color)
        by_devices(panel)
        panel.set_yscale("log", base=2)
        panel.set_ylim(0.25, 1024)
        panel.set_yticks([2**p for p in range(-2, 11, 2)],
                         ["1/4", "1", "4", "16", "64", "256", "1,024"])  # fmt: skip
        panel.set_title(name.replace(", ", ",\n"))
    panels[0].set_ylabel("times as fast as one device")
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=6, frameon=False)
    figure.suptitle(f"{machine.name}; a dot is where more devices stop paying")
    figure.savefig(path)


def draw_shares(nets: Sequence[Net], machine: Machine, batch: int, path: Path) -> None:
    """How much of a step goes to what, by devices."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(nets), 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(nets), sharey=True)
    for panel, net in zip(panels, nets, strict=True):
        steps = [step(net, machine, n, batch) for n in counts(1024)]
        bottom = [0.0] * len(steps)
        for place, (name, color) in enumerate(SHARES.items()):
            heights = [100 * each[place] / each.seconds for each in steps]
            panel.bar(counts(1024), heights, [n / 2 for n in counts(1024)],
                      bottom=bottom, color=color, label=name)  # fmt: skip
            bottom = [a + b for a, b in zip(bottom, heights, strict=True)]
        by_devices(panel)
        panel.set_title(net.name)
    panels[0].set_ylabel("percent of a step")
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"{machine.name}, {batch:,} images in all")
    figure.savefig(path)


def by_devices(panel: "Axes") -> None:
    panel.set_xscale("log", base=2)
    some = counts(1024)[::2]
    panel.set_xticks(some, [f"{n:,}" for n in some])
    panel.minorticks_off()
    panel.set_xlabel("devices")
    panel.grid(axis="y", color="#E5E5E5")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
