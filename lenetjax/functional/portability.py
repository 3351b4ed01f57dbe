"""Whether what is traced is for programs other than JAX to read.

The context is part of the key of JAX's caches of compiled and traced functions, so that
none of the two ways of computing is taken for the other.
"""

import jax

PORTABLE = jax.make_user_context(False)


def is_portable() -> bool:
    """Whether operations that every program knows are to be preferred, here and now."""
    return bool(PORTABLE.value)
