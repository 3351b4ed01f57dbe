"""Pictures of filters and of what they make of an image."""

from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from lenetjax.inspection.figures import drawing
from lenetjax.inspection.figures.arguments import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def filters(weight: ArrayLike, *, title: str = "Filters") -> "Figure":
    """Draws a convolution's filters: blue below zero, white at zero, red above.

    One scale, symmetric about zero, holds for all. With several input channels, each
    has a row and each output channel a column.

    Args:
      weight: a convolution's weight (kernel height, kernel width, in, out).
      title: what stands above.

    Raises:
      ValueError: the axes are others, values are not finite, or there are no filters,
        or more than 256.
      ImportError: matplotlib is missing.

    Example:
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> figure = figures.filters(np.ones((3, 3, 1, 6)), title="conv1")
      >>> figure.axes[5].get_title()
      'out 5'
    """
    kernels = finite("weight", weight)
    if kernels.ndim != 4:
        raise ValueError(
            "weight must be a convolution's, (kernel height, kernel width, in, out), "
            f"got {kernels.shape}"
        )
    *kernel, n_in, n_out = kernels.shape
    kernels = kernels.transpose(2, 3, 0, 1).reshape(-1, *kernel)
    figure, axes = drawing.grid(
        len(kernels),
        kernel,
        inches=0.9 if n_in == 1 else 0.5,
        columns=8 if n_in == 1 else n_out,
        title=title,
        left=0.1 if n_in == 1 else 0.5,
        named=True if n_in == 1 else "first row",
        scale=True,
    )
    drawing.fill(figure, axes, kernels, of="weight", signed=True)
    for i, tile in enumerate(axes[:n_out]):
        drawing.name(tile, f"out {i}")
    if n_in > 1:
        drawing.rows(axes[::n_out], [f"in {i}" for i in range(n_in)])
    return figure


def feature_maps(maps: ArrayLike, title: str = "Feature maps") -> "Figure":
    """Draws the maps that a layer makes of one image, all on one scale.

    Values that are nowhere negative, such as those behind a ReLU, go from white at
    zero to dark blue; others from blue below zero to red above.

    Args:
      maps: one image's maps (height, width, channels).
      title: what stands above.

    Raises:
      ValueError: the axes are others, values are not finite, or there are no maps, or
        more than 256.
      ImportError: matplotlib is missing.

    Example:
      >>> import numpy as np
      >>> from lenetjax.inspection import figures
      >>> figure = figures.feature_maps(np.ones((30, 30, 6)), "relu1")
      >>> figure.get_suptitle()
      'relu1'
    """
    values = finite("maps", maps)
    if values.ndim != 3:
        raise ValueError(
            f"maps must be one image's, (height, width, channels), got {values.shape}; "
            "of a batch, give maps[0]"
        )
    values = values.transpose(2, 0, 1)
    figure, axes = drawing.grid(
        len(values), values.shape[1:], inches=1.1, columns=8, title=title, scale=True
    )
    signed = bool((values < 0).any())
    drawing.fill(figure, axes, values, of="activation", signed=signed)
    for i, tile in enumerate(axes):
        drawing.name(tile, f"channel {i}")
    return figure
