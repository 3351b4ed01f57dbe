"""The picture: how long a training step takes per image, by batch and peer."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.goals import rows_of
from benchmarks.peers import OURS, PEERS
from benchmarks.sections import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colors. A family shares one: its members differ in their marks.
COLORS = {OURS: "#D55E00", "torch": "#0072B2", "jax": "#888888"}
MARKS = {
    OURS: "o", "torch": "s", "torch channels_last": "D", "torch.compile": "^",
    "stax": "x", "haiku": "+", "linen": "v", "nnx": "<", "equinox": ">",
}  # fmt: skip


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Draws a panel for each net and saves the picture."""
    from matplotlib.figure import Figure

    models = [model for model in NAMES if rows_of(results, "step", model=model)]
    if not models:
        return
    figure = Figure(figsize=(4 * len(models), 4.2), dpi=150, layout="constrained")
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for panel, model in zip(panels, models, strict=True):
        draw_model(panel, results, model)
    panels[0].set_ylabel("microseconds per image, training step")
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path)


def draw_model(panel: "Axes", results: Mapping[str, Any], model: str) -> None:
    rows = rows_of(results, "step", model=model)
    for peer in PEERS:
        found = sorted(
            (row["batch"], row["median"] / row["batch"] * 1e6)
            for row in rows
            if row["peer"] == peer
        )
        if found:
            ours = peer == OURS
            panel.plot(
                *zip(*found, strict=True),
                color=COLORS.get(peer, COLORS[PEERS[peer].family]),
                marker=MARKS[peer],
                markersize=6 if ours else 5,
                linewidth=2.5 if ours else 1,
                zorder=3 if ours else 2,
                label=peer,
            )
    batches = sorted({row["batch"] for row in rows})
    panel.set_xscale("log", base=2)
    panel.set_xticks(batches, [str(batch) for batch in batches])
    panel.minorticks_off()
    panel.set_ylim(bottom=0)
    panel.set_xlabel("batch")
    panel.set_title(NAMES[model])
    panel.grid(axis="y", color="#E5E5E5")
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
