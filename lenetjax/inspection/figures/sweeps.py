"""Pictures of how many trainings went, side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from lenetjax.inspection.figures import drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("test_accuracy", "test_loss", "train_accuracy", "train_loss")
MOST_NAMED = 10  # values that a list of colours names; more get a scale
DARK_TO_LIGHT = (0.0, 0.88)  # the part of viridis that is seen on white


class Trained(Protocol):
    """What is drawn of a training; such as the members of `lenetjax.sweep`."""

    @property
    def seed(self) -> int: ...

    @property
    def hyperparameters(self) -> Mapping[str, float]: ...

    @property
    def history(self) -> Sequence[Mapping[str, float]]: ...


def sweep_curves(
    members: Sequence[Trained], by: str, measure: str = "test_accuracy"
) -> "Figure":
    """Draws the learning curves of many trainings, coloured by a hyperparameter.

    The best at the end is drawn thick, and says its value. The line of a training that
    diverged ends where its loss is no longer finite, and the title counts them.

    Args:
      members: those of a `lenetjax.sweep`.
      by: the hyperparameter that decides the colour, or "seed".
      measure: test_accuracy, test_loss, train_accuracy or train_loss.

    Raises:
      ValueError: there are no members, or they have no such hyperparameter or measure.
      ImportError: matplotlib is missing.

    Example:
      >>> import jax.numpy as jnp, lenetjax as nn, optax
      >>> from lenetjax.inspection import figures
      >>> points = nn.data.Split(jnp.eye(2), jnp.arange(2))
      >>> found = nn.sweep(
      ...     nn.linear(2), optax.sgd, {"learning_rate": [0.1, 1.0]},
      ...     nn.data.Dataset(points, points), epochs=2, progress=False)
      >>> figure = figures.sweep_curves(found.members, by="learning_rate")
      >>> figure.axes[0].get_title()
      'Test accuracy of 2 trainings'
    """
    values = _values(members, by, measure)
    figure = drawing.blank(6.4, 3.6)
    axes = figure.subplots()
    colors = _colors(figure, axes, values, by)
    curves = [_curve(member.history, measure) for member in members]
    epochs = max(len(member.history) for member in members)
    ended = [i for i, (x, _) in enumerate(curves) if len(x) == epochs]
    sign = -1 if "accuracy" in measure else 1
    best = min(ended, key=lambda i: sign * curves[i][1][-1], default=None)
    for i, ((x, y), value) in enumerate(zip(curves, values, strict=True)):
        thick: dict[str, Any] = {"linewidth": 1.2, "alpha": 0.75}
        if i == best:
            thick = {"linewidth": 3.0, "zorder": 3}
        axes.plot(x, y, color=colors[value], clip_on=False, **thick)
        if len(x) == 1:
            axes.plot(x, y, "o", color=colors[value], markersize=4)
    diverged = len(members) - len(ended)
    trainings = "training" if len(members) == 1 else "trainings"
    axes.set_title(
        f"{measure.replace('_', ' ').capitalize()} of {len(members)} {trainings}"
        + (f", of which {diverged} diverged" if diverged else ""),
        size=11,
    )
    _dress(axes, measure, epochs)
    if best is not None:
        last = float(curves[best][1][-1])
        text = f"best {last:.1%}" if "accuracy" in measure else f"best {last:.3g}"
        axes.annotate(
            text, (1.02, last), xycoords=("axes fraction", "data"),
            color=colors[values[best]], va="center", size=9,
        )  # fmt: skip
    return figure


def _values(members: Sequence[Trained], by: str, measure: str) -> list[float]:
    """Each member's value of what decides the colour."""
    if not members:
        raise ValueError("sweep_curves needs at least one member, got none")
    first = members[0]
    known = (*first.hyperparameters, "seed")
    if by not in known:
        raise ValueError(f"by must be one of {', '.join(known)}, got {by!r}")
    there = [name for name in MEASURES if name in first.history[-1]]
    if measure not in there:
        raise ValueError(f"measure must be one of {', '.join(there)}, got {measure!r}")
    return [
        member.seed if by == "seed" else member.hyperparameters[by]
        for member in members
    ]


def _curve(
    history: Sequence[Mapping[str, float]], measure: str
) -> tuple[list[float], list[float]]:
    """Epochs and values, up to where a loss is no longer finite."""
    x, y = [], []
    for row in history:
        losses = [row[name] for name in ("train_loss", "test_loss") if name in row]
        if not np.isfinite(losses).all():
            break
        x.append(row["epoch"])
        y.append(row[measure])
    return x, y


def _colors(
    figure: "Figure", axes: "Axes", values: Sequence[float], by: str
) -> dict[float, Any]:
    """A colour for each value, with what names them beside the axes."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm, Normalize
    from matplotlib.lines import Line2D

    distinct = sorted(set(values))
    shades = colormaps["viridis"](np.linspace(*DARK_TO_LIGHT, 256))
    scale = ListedColormap(shades)
    name = by.replace("_", " ")
    if len(distinct) <= MOST_NAMED:
        places = np.linspace(0, 1, len(distinct))
        colors = dict(zip(distinct, scale(places), strict=True))
        figure.legend(
            [Line2D([], [], color=colors[v], linewidth=2.5) for v in distinct],
            [f"{v:.4g}" for v in distinct],
            title=name, loc="outside right center", frameon=False, fontsize=9,
        )  # fmt: skip
        return colors
    wide = distinct[0] > 0 and distinct[-1] >= 10 * distinct[0]
    norm = (LogNorm if wide else Normalize)(distinct[0], distinct[-1])
    bar = figure.colorbar(ScalarMappable(norm, scale), ax=axes, label=name)
    bar.outline.set_visible(False)
    return {v: scale(norm(v)) for v in distinct}


def _dress(axes: "Axes", measure: str, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    part, _, what = measure.partition("_")
    images = {"train": "training", "test": "test"}[part] + " images"
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if epochs == 1:
        axes.set_xlim(0, 2)
    if what == "accuracy":
        axes.set_ylabel(f"{images} classified correctly")
        axes.set_ylim(top=min(1.0, axes.get_ylim()[1]) + 0.002)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        axes.set_ylabel(f"mean loss per image ({images})")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
