"""Pictures of what a prediction hangs on: images above their maps."""

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from lenetjax.inspection.figures import drawing
from lenetjax.inspection.figures.arguments import (
    class_names,
    finite,
    one_for_each,
    pixels,
)
from lenetjax.inspection.figures.drawing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def saliency(
    images: ArrayLike,
    maps: ArrayLike,
    labels: ArrayLike | None = None,
    predictions: ArrayLike | None = None,
    *,
    columns: int = 8,
    title: str = "Saliency: how much each pixel moves the score",
) -> "Figure":
    """Draws images, and under each one its saliency map.

    All maps are on one scale, from white at zero to dark blue; values below zero make
    it blue below and red above. Few pixels are far above the others, so the hundredth
    part that is largest is as dark as the end of the scale. The ink's outline is drawn
    over the map of a gray image.

    Args:
      images: as in `images`, at most 128.
      maps: (n, height, width), as `lenetjax.inspection.saliency_maps` makes them.
      labels: the right classes, ints (n,), to stand above.
      predictions: the predicted classes, likewise.
      columns: images in a row.
      title: what stands above.

    Raises:
      ValueError: shapes do not fit, values are not finite, or there are no images, or
        more than 128.
      ImportError: matplotlib is missing.

    Example:
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> figure = figures.saliency(np.ones((2, 8, 8, 1)), np.ones((2, 8, 8)), [3, 4])
      >>> len(figure.axes)  # two images, two maps and a scale
      5
    """
    figure, lower, heat = _above_maps(images, maps, labels, predictions, columns, title)
    of = "|d score / d pixel|"
    signed = bool((heat < 0).any())
    drawing.fill(figure, lower, heat, of=of, signed=signed, rare=0.01)
    return figure


def class_activation(
    images: ArrayLike,
    maps: ArrayLike,
    labels: ArrayLike | None = None,
    predictions: ArrayLike | None = None,
    *,
    columns: int = 8,
    title: str = "Class activation: where the evidence lies",
) -> "Figure":
    """Draws images, and under each one its class-activation map.

    All maps are on one scale, up to the largest value; else it is as in `saliency`.

    Args:
      images, labels, predictions, columns, title: as in `saliency`.
      maps: (n, height, width) of the images' size, as
        `lenetjax.inspection.class_activation_maps` makes them.

    Raises:
      ValueError: as in `saliency`.
      ImportError: matplotlib is missing.

    Example:
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> maps = np.ones((2, 8, 8))
      >>> figures.class_activation(np.ones((2, 8, 8, 1)), maps).get_suptitle()
      'Class activation: where the evidence lies'
    """
    figure, lower, heat = _above_maps(images, maps, labels, predictions, columns, title)
    of = "evidence for the class"
    drawing.fill(figure, lower, heat, of=of, signed=bool((heat < 0).any()))
    return figure


def _above_maps(
    images: ArrayLike,
    maps: ArrayLike,
    labels: ArrayLike | None,
    predictions: ArrayLike | None,
    columns: int,
    title: str,
) -> tuple["Figure", list["Axes"], Array]:
    """Draws images above empty tiles for their maps; returns these and the maps."""
    pictures, heat = pixels(images), finite("maps", maps)
    n, *size = pictures.shape[:3]
    if heat.shape != (n, *size):
        raise ValueError(
            f"maps must be (n, height, width) like the images, {(n, *size)}, "
            f"got {heat.shape}"
        )
    known = one_for_each("labels", labels, n)
    guessed = one_for_each("predictions", predictions, n)
    figure, axes = drawing.grid(
        n,
        size,
        inches=1.0,
        columns=columns,
        named=known is not None or guessed is not None,
        title=title,
        scale=True,
        stack=2,
    )
    upper, lower = axes[::2], axes[1::2]
    for i, (text, wrong) in enumerate(class_names(known, guessed, n)):
        upper[i].imshow(pictures[i], cmap="gray_r", vmin=0, vmax=1)
        drawing.name(upper[i], text, wrong=wrong)
        if pictures.ndim == 3 and pictures[i].min() < 0.5 < pictures[i].max():
            lower[i].contour(
                pictures[i], [0.5], colors=drawing.INK, linewidths=0.6, alpha=0.6
            )
    return figure, lower, heat
