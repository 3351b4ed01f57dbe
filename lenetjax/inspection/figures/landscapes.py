"""The picture of the loss around trained params."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from lenetjax.inspection.figures import drawing
from lenetjax.inspection.figures.arguments import finite
from lenetjax.inspection.figures.drawing import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT, SIDE = 5.5, 4.6, 3.4  # inches
LEVELS = 16
WIDE = 100  # the largest loss over the least from which colours are logarithmic


def landscape(
    alphas: ArrayLike,
    betas: ArrayLike,
    losses: ArrayLike,
    *,
    title: str = "Loss around the trained params",
) -> "Figure":
    """Draws the loss along two directions as filled contours, dark where it is high.

    The params themselves, at 0 and 0, are marked with their loss. Colours are
    logarithmic where the largest loss is more than 100 times the least.

    Args:
      alphas: steps along the first direction, rising (columns,).
      betas: steps along the second one, rising (rows,).
      losses: (rows, columns). `lenetjax.inspection.loss_landscape` makes all three:
        ``landscape(*loss_landscape(...))``.
      title: what stands above.

    Raises:
      ValueError: shapes do not fit, steps do not rise, there are fewer than two of
        them, or values are not finite: take a smaller extent then.
      ImportError: matplotlib is missing.

    Example:
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> steps = np.linspace(-1, 1, 5)
      >>> losses = steps[:, None] ** 2 + steps**2 + 0.5
      >>> figure = figures.landscape(steps, steps, losses)
      >>> [text.get_text() for text in figure.axes[0].texts]
      ['0.5']
    """
    x, y = _steps("alphas", alphas), _steps("betas", betas)
    z = finite("losses", losses)
    if z.shape != (len(y), len(x)):
        raise ValueError(
            "losses must be (rows, columns), a row for each beta and a column for each "
            f"alpha, {(len(y), len(x))}; got {z.shape}"
        )
    figure = drawing.blank(WIDTH, HEIGHT, layout=None)
    axes = figure.add_axes((0.9 / WIDTH, 0.6 / HEIGHT, SIDE / WIDTH, SIDE / HEIGHT))
    scale = figure.add_axes((4.5 / WIDTH, 0.6 / HEIGHT, 0.15 / WIDTH, SIDE / HEIGHT))
    log = bool(z.min() > 0 and z.max() > WIDE * z.min())
    levels = _levels(float(z.min()), float(z.max()), log=log)
    norm = "log" if log else "linear"
    filled = axes.contourf(x, y, z, levels, cmap="Blues", norm=norm)
    axes.contour(x, y, z, levels, colors=drawing.INK, linewidths=0.4, alpha=0.5)
    bar = figure.colorbar(filled, cax=scale, format="%.4g")
    bar.set_ticks(levels[:: max(1, len(levels) // 8)].tolist())
    bar.minorticks_off()
    scale.set_title("loss", size=9)
    scale.tick_params(labelsize=8)
    if np.any(x == 0) and np.any(y == 0):
        here = float(z[y == 0, x == 0][0])
        axes.plot(0, 0, "o", color=drawing.ORANGE, markeredgecolor="white")
        axes.annotate(
            f"{here:.3g}", (0, 0), xytext=(8, 8), textcoords="offset points",
            color=drawing.ORANGE, weight="bold", size=9,
            bbox={"boxstyle": "round,pad=0.2", "color": "white", "alpha": 0.8},
        )  # fmt: skip
    figure.suptitle(title, y=1 - 0.08 / HEIGHT, va="top", fontsize=11)
    axes.set_xlabel("alpha, along the first direction")
    axes.set_ylabel("beta, along the second direction")
    axes.locator_params(nbins=5)
    bar.outline.set_visible(False)
    return figure


def _steps(name: str, values: ArrayLike) -> Array:
    steps = finite(name, values)
    if steps.ndim != 1 or len(steps) < 2 or (np.diff(steps) <= 0).any():
        raise ValueError(
            f"{name} must be rising numbers (n,), at least two, got shape {steps.shape}"
        )
    return steps


def _levels(low: float, high: float, *, log: bool) -> Array:
    """Where the colours change: some 16 round numbers, from below all to above all."""
    from matplotlib.ticker import MaxNLocator

    if low == high:  # a plain, which is its own middle level
        low, high = low - 0.5, high + 0.5
    if not log:
        return np.asarray(MaxNLocator(LEVELS).tick_values(low, high))
    first, last = np.floor(np.log10(low)), np.ceil(np.log10(high))
    steps = (1, 2, 5) if last - first <= LEVELS / 3 else (1,)
    levels = np.outer(10.0 ** np.arange(first, last + 1), steps).ravel()
    below, above = (
        np.searchsorted(levels, low, "right") - 1,
        np.searchsorted(levels, high),
    )
    return levels[below : above + 1]
