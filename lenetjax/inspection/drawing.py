"""What the pictures of `figures` are drawn with."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]

# Okabe and Ito's blue and vermilion: every kind of eye tells them apart.
COLORS = {"train": "#0072B2", "test": "#D55E00"}
WRONG = "#D55E00"
INK = "#333333"

MOST_TILES = 256  # more are too small to see, and take seconds to draw
GAP, NAME, TITLE, SCALE, BAR = 0.1, 0.18, 0.36, 1.0, 0.9  # inches


def blank(width: float, height: float, layout: str | None = "constrained") -> "Figure":
    """An empty figure, in inches, that pyplot knows nothing of."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'pictures need matplotlib: pip install "lenetjax[figures]"'
        ) from error
    return Figure(figsize=(width, height), dpi=100, layout=layout)  # type: ignore[arg-type]


def grid(
    n: int,
    shape: Sequence[int],
    *,
    inches: float,
    columns: int,
    title: str,
    left: float = GAP,
    named: bool | Literal["first row"] = True,
    scale: bool = False,
) -> tuple["Figure", list["Axes"]]:
    """Places n tiles for pictures of one shape, with room for names and a scale.

    The places are computed, in inches: a layout engine is slow with a hundred axes.
    """
    if not 1 <= n <= MOST_TILES:
        raise ValueError(f"a picture shows from 1 to {MOST_TILES} tiles, got {n}")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    if not all(shape):
        raise ValueError(f"there is nothing to see in a tile of {tuple(shape)} pixels")
    columns = min(columns, n)
    rows = -(-n // columns)
    tile_height, tile_width = (inches * side / max(shape) for side in shape)
    row_gap = NAME + GAP if named is True else GAP
    right = SCALE if scale else GAP
    wide = columns * (tile_width + GAP) - GAP
    width = max(left + wide + right, 0.5 + 0.1 * len(title))
    left += (width - left - wide - right) / 2  # a long title widens the figure
    top = TITLE + NAME if named else TITLE
    tall = rows * (tile_height + row_gap) - row_gap
    height = top + max(tall, BAR if scale else 0) + GAP
    figure = blank(width, height, layout=None)
    figure.suptitle(title, y=1 - 0.08 / height, va="top", fontsize=11)
    axes = []
    for i in range(n):
        x = left + i % columns * (tile_width + GAP)
        y = height - top - i // columns * (tile_height + row_gap) - tile_height
        place = (x / width, y / height, tile_width / width, tile_height / height)
        axes.append(figure.add_axes(place, xticks=[], yticks=[]))
        axes[-1].spines[:].set_color("#BBBBBB")
    return figure, axes


def fill(
    figure: "Figure", axes: Sequence["Axes"], pictures: Array, *, of: str, signed: bool
) -> None:
    """Draws values on one scale, with its bar: from 0 up, or symmetric about 0."""
    highest = float(np.abs(pictures).max()) or 1.0
    lowest = -highest if signed else 0.0
    for tile, picture in zip(axes, pictures, strict=True):
        drawn = tile.imshow(
            picture, cmap="RdBu_r" if signed else "Blues", vmin=lowest, vmax=highest
        )
    width, height = figure.get_size_inches()
    right = max(tile.get_position().x1 for tile in axes) + 0.15 / width
    top = axes[0].get_position().y1
    tall = min(top - GAP / height, 2.5 / height)
    bar = figure.colorbar(
        drawn, cax=figure.add_axes((right, top - tall, 0.1 / width, tall))
    )
    bar.set_label(of, size=9)
    bar.ax.locator_params(nbins=4)
    bar.ax.ticklabel_format(scilimits=(-2, 4))
    bar.ax.yaxis.set_offset_position("right")
    bar.ax.yaxis.get_offset_text().set_fontsize(8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def name(tile: "Axes", text: str, *, wrong: bool = False) -> None:
    """Writes a tile's name above it; a mistake also gets a frame."""
    weight = "bold" if wrong else "normal"
    tile.set_title(text, size=8, pad=3, color=WRONG if wrong else INK, weight=weight)
    if wrong:
        tile.spines[:].set(color=WRONG, linewidth=2)


def rows(first_tiles: Sequence["Axes"], names: Sequence[str]) -> None:
    """Writes a name to the left of each row."""
    for tile, text in zip(first_tiles, names, strict=True):
        tile.set_ylabel(text, rotation=0, ha="right", va="center", size=8, color=INK)


def curves(axes: "Axes", history: Sequence[Mapping[str, float]], measure: str) -> None:
    """Draws one measure by epoch, training and test; the ends say the last values."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    percent = measure == "accuracy"
    ends = {}
    for part, color in COLORS.items():
        points = [
            (row["epoch"], row[f"{part}_{measure}"])
            for row in history
            if f"{part}_{measure}" in row
        ]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(
                x,
                y,
                color=color,
                marker="o",
                markersize=4,
                markevery=[-1],
                clip_on=False,
            )
            ends[part] = y[-1]
    axes.set_title(measure.capitalize())
    axes.set_xlabel("epoch")
    axes.set_ylabel("images classified correctly" if percent else "mean loss per image")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len({row["epoch"] for row in history}) == 1:
        axes.set_xlim(history[0]["epoch"] - 1, history[0]["epoch"] + 1)
    if percent:
        axes.set_ylim(top=min(1.0, axes.get_ylim()[1]) + 0.002)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    for part, height in _apart(ends, *axes.get_ylim()).items():
        value = f"{ends[part]:.1%}" if percent else f"{ends[part]:.3g}"
        axes.text(
            1.02, height, f"{part} {value}", transform=axes.transAxes,
            color=COLORS[part], va="center", size=9,
        )  # fmt: skip


def _apart(ends: Mapping[str, float], low: float, high: float) -> dict[str, float]:
    """Heights for the labels of line ends, from 0 to 1, none upon another."""
    room = 0.08
    heights: dict[str, float] = {}
    below = -room
    for part in sorted(ends, key=lambda part: ends[part]):
        height = (ends[part] - low) / (high - low)
        height = height if np.isfinite(height) else 1.0
        heights[part] = below = max(height, below + room)
    return heights


def counts(axes: "Axes", table: Array) -> None:
    """Draws a confusion matrix: right ones blue by share, others orange by number."""
    classes = len(table)
    diagonal = np.eye(classes, dtype=bool)
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    wrong = table / max(table[~diagonal].max(), 1)
    # Half of each colour map is light enough for dark figures.
    axes.imshow(np.ma.masked_where(~diagonal, share), cmap="Blues", vmin=0, vmax=2)
    hidden = diagonal | (table == 0)
    axes.imshow(np.ma.masked_where(hidden, wrong + 0.3), cmap="Oranges", vmin=0, vmax=2)
    for row, column in np.argwhere(table > 0):
        axes.text(
            column, row, f"{table[row, column]:,}", ha="center", va="center", size=8,
            color="black",
        )  # fmt: skip
    axes.set_xticks(range(classes))
    axes.set_yticks(range(classes))
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(classes - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(classes - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="#E5E5E5", linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    right, total = int(table.trace()), int(table.sum())
    axes.set_title(
        f"Accuracy {right / total:.1%}: {right:,} of {total:,} right", size=11
    )
