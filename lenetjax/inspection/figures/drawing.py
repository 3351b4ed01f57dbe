"""What the pictures of `figures` are drawn with."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]

# Okabe and Ito's blue and vermilion: every kind of eye tells them apart.
BLUE, ORANGE = "#0072B2", "#D55E00"
INK = "#333333"

MOST_TILES = 256  # more are too small to see, and take seconds to draw
GAP, NAME, TITLE, SCALE, BAR = 0.1, 0.18, 0.36, 1.0, 0.9  # inches
PILE_GAP = 0.04  # between what belongs together


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
    stack: int = 1,
) -> tuple["Figure", list["Axes"]]:
    """Places n tiles for pictures of one shape, with room for names and a scale.

    With `stack`, n piles of so many tiles, listed pile by pile from the top.

    The places are computed, in inches: a layout engine is slow with a hundred axes.
    """
    most = MOST_TILES // stack
    if not 1 <= n <= most:
        raise ValueError(f"a picture shows from 1 to {most} tiles, got {n}")
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
    pile = stack * (tile_height + PILE_GAP) - PILE_GAP
    tall = rows * (pile + row_gap) - row_gap
    height = top + max(tall, BAR if scale else 0) + GAP
    figure = blank(width, height, layout=None)
    figure.suptitle(title, y=1 - 0.08 / height, va="top", fontsize=11)
    axes = []
    for i, level in product(range(n), range(stack)):
        x = left + i % columns * (tile_width + GAP)
        y = height - top - i // columns * (pile + row_gap)
        y -= level * (tile_height + PILE_GAP) + tile_height
        place = (x / width, y / height, tile_width / width, tile_height / height)
        axes.append(figure.add_axes(place, xticks=[], yticks=[]))
        axes[-1].spines[:].set_color("#BBBBBB")
    return figure, axes


def fill(
    figure: "Figure",
    axes: Sequence["Axes"],
    pictures: Array,
    *,
    of: str,
    signed: bool,
    rare: float = 0.0,
) -> None:
    """Draws values on one scale, with its bar: from 0 up, or symmetric about 0.

    A share of them, the `rare` largest, is as dark as the end of the scale.
    """
    largest = float(np.abs(pictures).max())
    highest = float(np.quantile(np.abs(pictures), 1 - rare)) or largest or 1.0
    lowest = -highest if signed else 0.0
    for tile, picture in zip(axes, pictures, strict=True):
        drawn = tile.imshow(
            picture, cmap="RdBu_r" if signed else "Blues", vmin=lowest, vmax=highest
        )
    width, height = figure.get_size_inches()
    right = max(tile.get_position().x1 for tile in axes) + 0.15 / width
    top = max(tile.get_position().y1 for tile in figure.axes)
    tall = min(top - GAP / height, 2.5 / height)
    beyond = "neither" if highest >= largest else "both" if signed else "max"
    bar = figure.colorbar(
        drawn,
        cax=figure.add_axes((right, top - tall, 0.1 / width, tall)),
        extend=beyond,
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
    tile.set_title(text, size=8, pad=3, color=ORANGE if wrong else INK, weight=weight)
    if wrong:
        tile.spines[:].set(color=ORANGE, linewidth=2)


def rows(first_tiles: Sequence["Axes"], names: Sequence[str]) -> None:
    """Writes a name to the left of each row."""
    for tile, text in zip(first_tiles, names, strict=True):
        tile.set_ylabel(text, rotation=0, ha="right", va="center", size=8, color=INK)


def notice(text: str) -> "Figure":
    """A picture that says why there is nothing to see."""
    figure = blank(max(3.0, 1.0 + 0.1 * len(text)), 1.0, layout=None)
    figure.suptitle(text, y=0.5, va="center", fontsize=11)
    return figure


def percent(share: float) -> str:
    """A share in whole percents: 0% and 100% are exact."""
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"
