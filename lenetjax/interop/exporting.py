"""A net with its params as one StableHLO program, for `jax.export` to call."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import jax

from lenetjax.checkpoint.files import write_whole
from lenetjax.core import Layer, LayerError, Params, PyTree, State
from lenetjax.specs import shapes_text, spec_of

PLATFORMS = ("cpu", "cuda", "tpu")
KNOWN = ("cpu", "cuda", "rocm", "tpu")


def export(
    net: Layer,
    params: Params,
    x: PyTree,
    *,
    state: State | None = None,
    batch: str | None = "b",
    platforms: Sequence[str] = PLATFORMS,
) -> jax.export.Exported:
    """Makes one program of a net in evaluation mode, its params inside.

    The program is complete: ``exported.call(x)`` computes ``net.apply(params, x,
    state=state)``, and what `save_exported` writes needs neither lenetjax nor files of
    weights. It cannot be differentiated again once it was written. How the
    convolutions are computed, which differs by platform for speed, is decided for the
    machine that exports; the values are right on all. Within `portable` they are
    convolutions, which a TPU or another compiler may want.

    Args:
      net: any layer.
      params: what `init` returned.
      x: an example input, or its `jax.ShapeDtypeStruct`; values are not read.
      state: what `init_with_state` returned, if the net has state.
      batch: what to call the number of examples, which is the first axis of each array
        of x and may then be any from 1 on; None for the number that x has.
      platforms: what the program is for: "cpu", "cuda", "rocm" or "tpu". No such
        device has to be there.

    Returns:
      A `jax.export.Exported`. Its `in_avals` and `out_avals` tell the shapes and
      dtypes, and `mlir_module()` shows the program.

    Raises:
      LayerError: a ValueError: x, params or state do not fit the net, or the net can
        be exported for a fixed number of examples only.
      ValueError: batch is no name, an array of x has no axis for it, or a platform is
        unknown.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn
      >>> net = nn.linear(2)
      >>> params = net.init(jax.random.key(0), jnp.zeros((1, 3)))
      >>> exported = nn.interop.export(net, params, jnp.zeros((1, 3)))
      >>> exported.platforms, exported.out_avals
      (('cpu', 'cuda', 'tpu'), (ShapedArray(float32[b,2]),))
      >>> exported.call(jnp.ones((5, 3))).shape
      (5, 2)
    """
    platforms = tuple(platforms)
    if not platforms or not set(platforms) <= set(KNOWN):
        raise ValueError(
            f"platforms must be some of {', '.join(KNOWN)}, got {platforms}"
        )
    x = jax.tree.map(spec_of, x)

    def evaluate(x: PyTree) -> PyTree:
        return net.apply(params, x, state=state)

    def exported(x: PyTree) -> jax.export.Exported:
        return jax.export.export(jax.jit(evaluate), platforms=platforms)(x)

    jax.eval_shape(evaluate, x)  # what does not fit is refused for x itself
    if batch is None:
        return exported(x)
    any_batch = _with_any_batch(x, batch)
    try:
        return exported(any_batch)
    except Exception as error:
        exported(x)  # what fails here too has nothing to do with the batch
        reason = str(error).partition("\n")[0]
        raise LayerError(
            f"this net cannot be exported for any number of examples: {reason}\n"
            f"Export it for a fixed number, as x has it ({shapes_text(x)}): batch=None",
            path=getattr(error, "path", None),
        ) from error


def save_exported(path: str | os.PathLike[str], exported: jax.export.Exported) -> None:
    """Writes an exported program to a file, whole or not at all.

    To call it, with JAX (0.10 or newer) and flatbuffers, and without lenetjax:
    ``jax.export.deserialize(Path(path).read_bytes()).call(x)``.

    JAX notes in a program where each operation came from, with the paths of the source
    files. To keep those to yourself, call
    ``jax.config.update("jax_traceback_in_locations_limit", 0)`` before you export, as
    the command ``lenetjax export`` does.

    Args:
      path: the file to write; an old one is replaced.
      exported: what `export` returned, or any other `jax.export.Exported`.

    Raises:
      ImportError: flatbuffers is missing.
      OSError: it cannot be written; an old file is still there.

    Example:
      >>> import tempfile, jax, jax.numpy as jnp, lenetjax as nn
      >>> x = jnp.ones((1, 3))
      >>> exported = nn.interop.export(nn.flatten(), {}, x)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder, "net.stablehlo")
      ...     nn.interop.save_exported(path, exported)
      ...     jax.export.deserialize(path.read_bytes()).call(x)
      Array([[1., 1., 1.]], dtype=float32)
    """
    need_flatbuffers()
    write_whole(Path(path), bytes(exported.serialize()))


def need_flatbuffers() -> None:
    """Says what to install where JAX could not write what it exported.

    Raises:
      ImportError: flatbuffers is missing.
    """
    if find_spec("flatbuffers") is None:
        raise ImportError(
            "exported programs are written with flatbuffers: pip install "
            '"lenetjax[export]"'
        )


def _with_any_batch(x: PyTree, name: str) -> PyTree:
    """The specs of x, with a symbol for the size of each first axis."""
    try:
        if not name.isidentifier():
            raise ValueError
        (size,) = jax.export.symbolic_shape(name)
    except (AttributeError, ValueError):
        raise ValueError(
            f"batch must be a name such as 'b', or None, got {name!r}"
        ) from None

    def spec(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        if not leaf.shape:
            raise ValueError(
                "expected arrays with the batch on the first axis, got "
                f"{shapes_text(x)}; export them as they are: batch=None"
            )
        return jax.ShapeDtypeStruct((size, *leaf.shape[1:]), leaf.dtype)

    return jax.tree.map(spec, x)
