"""A context in which nets are made of operations that other programs know."""

from contextlib import AbstractContextManager
from typing import cast

from lenetjax.functional.portability import PORTABLE


def portable() -> AbstractContextManager[None]:
    """Has nets traced as operations that converters to other formats know.

    Inside of it a convolution is one `lax.conv_general_dilated`, a max-pooling is
    slices and `jnp.maximum`, and no primitive of lenetjax's own is used. Outside, where
    that is faster, a convolution of few channels is a product over columns, and values
    may be pinned to a layout in memory. The values are the same but for rounding. It is
    not for training: max-pooling is slow, and shares a gradient among equal values.

    Returns:
      A context manager. It holds for what is traced inside of it, in this thread;
      functions that were compiled outside are traced anew.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net, x = nn.conv2d(4, 3), jnp.ones((1, 8, 8, 1))
      >>> params = net.init(jax.random.key(0), x)
      >>> with nn.interop.portable():
      ...     program = str(jax.make_jaxpr(net.apply)(params, x))
      >>> "conv_general_dilated" in program, "row_major" in program
      (True, False)
    """
    return cast(AbstractContextManager[None], PORTABLE(True))
