"""Combinators and wrappers, around layers with params, state and randomness."""

import functools

import jax
import jax.numpy as jnp

import lenetjax as nn
from catalogue.case import Case

joined = functools.partial(jnp.concatenate, axis=-1)


def all_kinds():
    """A net that keeps the shape (batch, 3): params, state and randomness."""
    return nn.serial(
        fc=nn.linear(3), norm=nn.batch_norm(), act=jnp.tanh, drop=nn.dropout(0.3)
    )


ALL_KINDS = {"random": True, "state": True, "drawn": True}
CASES = [
    Case("parallel", nn.parallel(nn.linear(2), jnp.tanh), ((3, 3), (3, 4)), drawn=True),
    Case(
        "parallel by name",
        nn.parallel(all=all_kinds(), flat=nn.flatten()),
        {"all": (3, 3), "flat": (3, 2, 2)},
        **ALL_KINDS,
    ),
    Case("branch", nn.branch(nn.linear(3), jnp.tanh, merge=sum), (3, 3), drawn=True),
    Case(
        "branch joined",
        nn.branch(one=nn.conv2d(2, 1), other=nn.conv2d(3, 3, padding=1), merge=joined),
        (2, 3, 4, 2),
        drawn=True,
    ),
    Case(
        "branch merged by a layer",
        nn.branch(all_kinds(), nn.linear(2), merge=nn.bilinear(2)),
        (3, 3),
        **ALL_KINDS,
    ),
    Case("residual", nn.residual(all_kinds()), (3, 3), **ALL_KINDS),
    Case(
        "residual with a shortcut",
        nn.residual(nn.conv2d(4, 3, padding=1), shortcut=nn.conv2d(4, 1)),
        (2, 3, 4, 2),
        drawn=True,
    ),
    Case("repeat", nn.repeat(3, all_kinds()), (4, 3), **ALL_KINDS),
    Case("repeat once", nn.repeat(1, nn.linear(3)), (2, 3), drawn=True),
    Case("repeat a function", nn.repeat(2, jax.nn.silu), (2, 3)),
    Case("repeat remat", nn.repeat(2, all_kinds(), remat=True), (4, 3), **ALL_KINDS),
    Case(
        "repeat nested",
        nn.serial(first=nn.linear(3), body=nn.repeat(2, nn.repeat(2, nn.dropout(0.4)))),
        (4, 3),
        random=True,
        drawn=True,
    ),
    Case("ensemble", nn.ensemble(3, all_kinds()), (4, 3), batched=False, **ALL_KINDS),
    Case("ensemble of functions", nn.ensemble(2, jnp.tanh), (4, 3), batched=False),
    Case("remat", nn.remat(all_kinds()), (4, 3), **ALL_KINDS),
    Case("weight_norm", nn.weight_norm(nn.linear(4)), (2, 3), drawn=True),
    Case(
        "weight_norm of a convolution",
        nn.weight_norm(nn.conv2d(3, 2, bias=False)),
        (2, 3, 4, 2),
        drawn=True,
    ),
    Case(
        "tapped",
        nn.tapped(nn.serial(all=all_kinds(), twice=nn.repeat(2, nn.linear(3))), "**"),
        (4, 3),
        batched=False,
        **ALL_KINDS,
    ),
    # No gradient flows through the power iteration.
    Case(
        "spectral_norm",
        nn.spectral_norm(nn.linear(4)),
        (2, 3),
        state=True,
        drawn=True,
        skip=("gradients",),
    ),
    Case(
        "spectral_norm of a convolution",
        nn.spectral_norm(nn.conv2d(3, 2), iterations=2),
        (2, 3, 4, 2),
        state=True,
        drawn=True,
        skip=("gradients",),
    ),
]
# The output of these has its own dtype, and computing in bfloat16 is not exact.
PRECISION = [
    Case(
        "mixed_precision",
        nn.mixed_precision(all_kinds(), compute="float32"),
        (4, 3),
        **ALL_KINDS,
        skip=("half", "gradients"),
    ),
    Case(
        "mixed_precision in bfloat16",
        nn.mixed_precision(nn.serial(nn.linear(4), jax.nn.relu, nn.linear(2))),
        (4, 3),
        drawn=True,
        skip=("half", "gradients", "jit", "batch"),
    ),
]
CASES += PRECISION
