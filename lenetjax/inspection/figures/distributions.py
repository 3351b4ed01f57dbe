"""Pictures of the numbers in a net, layer by layer: activations, weights, gradients."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lenetjax.inspection.figures import drawing
from lenetjax.inspection.figures.arguments import layers
from lenetjax.inspection.figures.drawing import Array
from lenetjax.trees import flat

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ROWS, MANY_ROWS = 100, 25
BINS = 120
TALLEST = 0.8  # of a row

Number = Callable[[Array], str]


def activations(
    values: Mapping[str, ArrayLike], *, title: str = "Activations by layer"
) -> "Figure":
    """Draws how the outputs of each layer are distributed, on one scale.

    A row is a layer: a histogram of what is not zero, with a mark at the mean, and on
    the right the mean, the standard deviation and the share of zeros of all values. A
    thin line goes from the least value to the largest.

    Args:
      values: {path: outputs of any shape}, in the order of the rows, such as the second
        thing that a function of `lenetjax.taps` returns.
      title: what stands above.

    Raises:
      ValueError: values are no dict of 1 to 100 arrays of numbers, are not finite, or
        an array is empty.
      ImportError: matplotlib is missing.

    Example:
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> figure = figures.activations({"relu1": np.array([0.0, 0.0, 0.0, 4.0])})
      >>> [text.get_text() for text in figure.axes[0].texts]
      ['mean', 'std', 'zeros', '1', '1.73', '75%']
    """
    return _rows(layers("values", values, MOST_ROWS), title, "activation")


def weights(params: Mapping[str, Any], *, title: str = "Weights by array") -> "Figure":
    """Draws how the values of each array are distributed, on one scale.

    The rows are as in `activations`.

    Args:
      params: nested dicts of arrays, in the order of the rows. What went through
        `jax.tree.map` or `jax.grad` is in the order of the alphabet.
      title: what stands above.

    Raises:
      ValueError: params are no nested dicts of 1 to 100 arrays of numbers, are not
        finite, or an array is empty.
      ImportError: matplotlib is missing.

    Example:
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> figure = figures.weights({"fc": {"weight": np.eye(2), "bias": np.ones(2)}})
      >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
      ['fc/weight', 'fc/bias']
    """
    return _rows(_by_path("params", params), title, "value")


def gradients(
    grads: Mapping[str, Any], *, title: str = "Gradients by array"
) -> "Figure":
    """Draws how large the gradients of each array are, on one logarithmic scale.

    A row is a histogram of the magnitudes that are not zero, with a mark at their
    median; on the right stand that median, the largest magnitude and the share of
    zeros. Where gradients vanish or explode, the rows drift to the left or to the
    right; an array whose gradients are all zero is orange, and says so.

    Args:
      grads: nested dicts of arrays, in the order of the rows; `jax.grad` returns them
        in the order of the alphabet.
      title: what stands above.

    Raises:
      ValueError: grads are no nested dicts of 1 to 100 arrays of numbers, are not
        finite, or an array is empty.
      ImportError: matplotlib is missing.

    Example:
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> figure = figures.gradients({"bias": np.zeros(2), "weight": np.ones((2, 2))})
      >>> figure.get_suptitle()
      'Gradients by array: 1 of 2 all zero'
    """
    arrays = _by_path("grads", grads)
    if dead := sum(not array.any() for array in arrays.values()):
        title = f"{title}: {dead} of {len(arrays)} all zero"
    return _rows(arrays, title, "magnitude of the gradient", log=True)


def _by_path(name: str, tree: Mapping[str, Any]) -> dict[str, Array]:
    """Nested dicts as {"conv1/weight": values}."""
    listed = {path.replace(".", "/"): array for path, array in flat(tree).items()}
    return layers(name, listed, MOST_ROWS)


def _rows(
    arrays: Mapping[str, Array], title: str, quantity: str, *, log: bool = False
) -> "Figure":
    """Draws a histogram for each array, one under the other, with their numbers."""
    longest = max(map(len, arrays))
    figure = drawing.blank(7.2 + 0.07 * longest, 1.4 + 0.34 * len(arrays))
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots()
    nonzero = [array[array != 0] for array in arrays.values()]
    drawn = [np.abs(values) if log else values for values in nonzero]
    edges = _edges(np.concatenate(drawn), log=log)
    if log:
        axes.set_xscale("log")
    else:
        axes.axvline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
    for row, (values, array) in enumerate(zip(drawn, arrays.values(), strict=True)):
        if len(values):
            mark = np.median(values) if log else array.mean()
            _histogram(axes, -row, values, edges, float(mark))
        else:
            axes.text(
                0.5, 0.3 - row, "all zero", transform=axes.get_yaxis_transform(),
                color=drawing.ORANGE, weight="bold", size=8, ha="center", va="center",
                backgroundcolor="white",
            )  # fmt: skip
    _name_rows(axes, arrays)
    _write_numbers(axes, arrays, MAGNITUDES if log else MOMENTS)
    axes.set_xmargin(0.02)
    axes.update_datalim([(edges[0], 0), (edges[-1], 0)])
    axes.autoscale_view(scaley=False)
    axes.set_ylim(0.9 - len(arrays), 1.0)
    mark = "median" if log else "mean"
    axes.set_xlabel(
        f"{quantity}\nblack: the {mark}; zeros left out; rows as high as their peaks"
    )
    if len(arrays) > MANY_ROWS:  # the axis below is far from the first of them
        axes.tick_params(axis="x", top=True, labeltop=True)
    axes.grid(axis="x", color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return figure


def _edges(values: Array, *, log: bool) -> Array:
    """The edges of the bins that all rows share; zero is one, or else not in any."""
    if not len(values):
        return np.geomspace(0.1, 10, BINS + 1) if log else np.linspace(-1, 1, BINS + 1)
    low, high = float(values.min()), float(values.max())
    if log:
        low, high = (low, high) if low < high else (low / 10, high * 10)
        return np.geomspace(low, high, BINS + 1)
    low, high = min(low, 0.0), max(high, 0.0)
    width = (high - low) / BINS
    return width * np.arange(np.floor(low / width), np.ceil(high / width) + 1)


def _histogram(
    axes: "Axes", base: float, values: Array, edges: Array, mark: float
) -> None:
    """Draws a row: its histogram, its range as a line, and its mark."""
    counts, _ = np.histogram(values, edges)
    heights = base + TALLEST * counts / max(counts.max(), 1)
    axes.stairs(heights, edges, baseline=base, fill=True, color=drawing.BLUE, alpha=0.7)
    axes.plot(
        [values.min(), values.max()], [base, base], color=drawing.BLUE, linewidth=1
    )
    axes.plot([mark, mark], [base, base + TALLEST], color=drawing.INK, linewidth=1.5)


def _name_rows(axes: "Axes", arrays: Mapping[str, Array]) -> None:
    axes.set_yticks([0.3 - row for row in range(len(arrays))], list(arrays), size=8)
    axes.tick_params(axis="y", length=0)
    for label, array in zip(axes.get_yticklabels(), arrays.values(), strict=True):
        label.set_color(drawing.INK if array.any() else drawing.ORANGE)


def _write_numbers(
    axes: "Axes", arrays: Mapping[str, Array], numbers: Mapping[str, Number]
) -> None:
    """Writes a table on the right: a column for each number, a row for each array."""

    def write(column: int, y: float, text: str, **style: Any) -> None:
        axes.annotate(
            text, (1, y), xycoords=axes.get_yaxis_transform(),
            xytext=(50 * (column + 1), 0), textcoords="offset points",
            ha="right", va="center", size=8, **style,
        )  # fmt: skip

    for column, heading in enumerate(numbers):
        write(column, 1.1, heading, color=drawing.INK, weight="bold")
    for row, array in enumerate(arrays.values()):
        color = drawing.INK if array.any() else drawing.ORANGE
        for column, number in enumerate(numbers.values()):
            write(column, 0.3 - row, number(array), color=color)


def _zeros(array: Array) -> str:
    return drawing.percent(float((array == 0).mean()))


def _median(array: Array) -> str:
    """The median of the magnitudes that are not zero."""
    magnitudes = np.abs(array[array != 0])
    return f"{np.median(magnitudes):.3g}" if len(magnitudes) else "-"


MOMENTS: dict[str, Number] = {
    "mean": lambda array: f"{array.mean():.3g}",
    "std": lambda array: f"{array.std():.3g}",
    "zeros": _zeros,
}
MAGNITUDES: dict[str, Number] = {
    "median": _median,
    "largest": lambda array: f"{np.abs(array).max():.3g}",
    "zeros": _zeros,
}
