"""Where another way of computing the same values is faster, and why.

XLA convolves images of few channels slowly, on a CPU as on a GPU, and on a CPU images
that are smaller than the kernel; the gradient of its windowed maximum is a scatter.
`columns.py` and `disjoint_windows.py` compute the same values from slices, products
and comparisons of whole vectors; the choice falls here, while jax traces, by platform,
shape and dtype. `benchmarks/NOTES.md` has the measurements.
"""

import math

import jax
import jax.numpy as jnp

from lenetjax.functional.portability import is_portable
from lenetjax.spreading import by_compiler

MOST_IN, MOST_OUT = 8, 16  # channels; beyond, XLA's own convolution is as fast
MOST_ROWS = 512  # values under a window, all channels of it
MOST_TAPS = 64  # of a kernel that is larger than the image: rows take so many times it
MOST_POOLED = 16  # channels of a pooling; with more, turning the images costs too much
MOST_CORNERS = 16  # values in a window of a pooling


def columns_are_faster(x: jax.Array, weight: jax.Array, groups: int) -> bool:
    """Whether a convolution should be one product over columns.

    XLA's convolutions of few channels run at a tenth of the processor's speed, and
    those of many channels do not. A step of LeNet with cuDNN's takes 1.3 to 2 times as
    long on a GPU. The compiler gathers a batch that is spread over devices wherever its
    layout in memory is asked for, as here.
    """
    *taps, channels, features = weight.shape
    return (
        _plain(x)
        and not by_compiler(x)
        and groups == 1
        and channels <= MOST_IN
        and features <= MOST_OUT
        and math.prod(taps) * channels <= MOST_ROWS
    )


def rows_are_faster(x: jax.Array, weight: jax.Array, places: int, groups: int) -> bool:
    """Whether a convolution of many channels should be one product over rows.

    Where the kernel has more taps than the image has pixels, or than the output has,
    XLA's convolution on a CPU, or its gradient, is a plain loop: 15 to 30 times slower.
    """
    taps = math.prod(weight.shape[:-2])
    pixels = min(math.prod(x.shape[1:-1]), places)
    return (
        _plain(x)
        and jax.default_backend() == "cpu"
        and groups == 1
        and pixels < taps <= MOST_TAPS
    )


def disjoint_is_faster(x: jax.Array, window: tuple[int, ...]) -> bool:
    """Whether windows that do not overlap should be compared value by value.

    The gradient is then a selection instead of a scatter.
    """
    return (
        _plain(x)
        and not by_compiler(x)
        and x.shape[-1] <= MOST_POOLED
        and math.prod(window) <= MOST_CORNERS
    )


def _plain(x: jax.Array) -> bool:
    """Whether x is computed on CPUs or GPUs, in float32 or, unmeasured, float64.

    And here, not by another program that reads this one.
    """
    return (
        not is_portable()
        and jax.default_backend() in ("cpu", "gpu")
        and x.dtype in (jnp.float32, jnp.float64)
        and x.size > 0
    )
