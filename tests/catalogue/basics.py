"""The layers that LeNet is made of, combinators and models."""

import functools

import jax
import jax.numpy as jnp

import lenetjax as nn
from catalogue.case import Case, Ints


def noisy(stddev):
    """A user's own layer that wants randomness and the mode."""

    def apply(params, x, *, key, train):
        return x + stddev * jax.random.normal(key, x.shape, x.dtype) if train else x

    return nn.layer("noisy", nn.no_params, apply, settings={"stddev": stddev})


def call_twice(net, x):
    return net.inner(jnp.tanh(net.inner(x)))


def residual(net, x):
    return x + net.drop(net.conv(net.norm(x)))


def two_heads(net, x):
    features = jax.nn.relu(net["body"](x))
    return {"mean": net.mean(features), "spread": net.spread(features)}


IMAGES = (2, 5, 6, 2)
GROUPED = (2, 4, 5, 4)
LAYERS = [
    Case("linear", nn.linear(4), (2, 3), drawn=True),
    Case("linear without bias", nn.linear(4, bias=False), (2, 3), drawn=True),
    Case("linear on three axes", nn.linear(2), (2, 3, 4), drawn=True),
    Case(
        "linear with initializers",
        nn.linear(
            3,
            weight_init=jax.nn.initializers.he_normal(),
            bias_init=jax.nn.initializers.zeros,
        ),
        (2, 3),
        drawn=True,
    ),
    Case("conv2d", nn.conv2d(3, 3), IMAGES, drawn=True),
    Case("conv2d oblong", nn.conv2d(3, (1, 3)), IMAGES, drawn=True),
    Case("conv2d stride", nn.conv2d(3, 3, stride=(2, 1)), IMAGES, drawn=True),
    Case("conv2d padding", nn.conv2d(3, 3, padding=1), IMAGES, drawn=True),
    Case(
        "conv2d padding by side",
        nn.conv2d(3, 3, padding=((0, 1), (2, 0))),
        IMAGES,
        drawn=True,
    ),
    Case("conv2d SAME", nn.conv2d(3, 3, stride=2, padding="SAME"), IMAGES, drawn=True),
    Case("conv2d VALID", nn.conv2d(3, 3, padding="VALID"), IMAGES, drawn=True),
    Case("conv2d dilation", nn.conv2d(3, 2, dilation=(2, 3)), IMAGES, drawn=True),
    Case("conv2d groups", nn.conv2d(6, 2, groups=2), GROUPED, drawn=True),
    Case(
        "conv2d depthwise", nn.conv2d(4, 2, groups=4, bias=False), GROUPED, drawn=True
    ),
    Case("max_pool2d", nn.max_pool2d(2), IMAGES),
    Case("max_pool2d oblong", nn.max_pool2d((1, 2)), IMAGES),
    Case("max_pool2d padding", nn.max_pool2d(3, stride=2, padding=1), IMAGES),
    Case("max_pool2d SAME", nn.max_pool2d(2, padding="SAME"), IMAGES),
    Case("avg_pool2d", nn.avg_pool2d(2), IMAGES),
    Case("avg_pool2d padding", nn.avg_pool2d(3, stride=1, padding=(1, 0)), IMAGES),
    Case("batch_norm", nn.batch_norm(), IMAGES, state=True),
    Case("batch_norm flat", nn.batch_norm(momentum=1.0), (4, 3), state=True),
    Case(
        "batch_norm without params",
        nn.batch_norm(affine=False, momentum=0.5, eps=0.1),
        IMAGES,
        state=True,
    ),
    Case("dropout", nn.dropout(0.5), (2, 8), random=True),
    Case("dropout little", nn.dropout(0.1), (4, 3, 4, 2), random=True),
    Case("dropout none", nn.dropout(0.0), (2, 8)),
    Case("dropout all", nn.dropout(1.0), (2, 8)),
    Case("flatten", nn.flatten(), (2, 3, 4, 2)),
    Case("flatten some", nn.flatten(1, 2), (2, 3, 4, 2)),
    Case("flatten last", nn.flatten(-2), (2, 3, 4, 2)),
    Case("noisy", noisy(0.3), (2, 4), random=True),
]
COMBINED = [
    Case("serial", nn.serial(nn.linear(4), jnp.tanh, nn.linear(2)), (2, 3), drawn=True),
    Case("serial of functions", nn.serial(jax.nn.relu, lambda x: 2 * x), (2, 3)),
    Case(
        "serial of a partial",
        nn.serial(functools.partial(jax.nn.leaky_relu, negative_slope=0.2)),
        (2, 3),
    ),
    Case(
        "serial nested",
        nn.serial(
            block=nn.serial(
                conv=nn.conv2d(3, 2), norm=nn.batch_norm(), act=jax.nn.silu
            ),
            drop=nn.dropout(0.5),
            head=nn.serial(flatten=nn.flatten(), fc=nn.linear(3), drop=nn.dropout(0.2)),
        ),
        (2, 3, 4, 2),
        random=True,
        state=True,
        drawn=True,
    ),
    Case("compose", nn.compose(call_twice, inner=nn.linear(3)), (2, 3), drawn=True),
    Case(
        "compose random twice",
        nn.compose(call_twice, inner=nn.dropout(0.3)),
        (2, 9),
        random=True,
    ),
    Case(
        "compose state twice",
        nn.compose(call_twice, inner=nn.batch_norm()),
        (4, 3),
        state=True,
    ),
    Case(
        "compose residual",
        nn.compose(
            residual,
            norm=nn.batch_norm(),
            conv=nn.serial(nn.conv2d(2, 3, padding=1), jnp.tanh),
            drop=nn.dropout(0.4),
        ),
        (2, 3, 4, 2),
        random=True,
        state=True,
        drawn=True,
    ),
    Case(
        "compose two outputs",
        nn.compose(
            two_heads, body=nn.linear(4), mean=nn.linear(2), spread=nn.linear(1)
        ),
        (2, 3),
        drawn=True,
    ),
]
MODELS = [
    Case("lenet", nn.models.lenet(), (2, 10, 10, 1), drawn=True),
    Case("lenet5", nn.models.lenet5(4), (2, 16, 16, 1), drawn=True, long=True),
    Case(
        "lenet5 of 1998",
        nn.models.lenet5(4, activation="tanh", pooling="avg"),
        (2, 16, 16, 1),
        drawn=True,
    ),
    Case(
        "mlp",
        nn.models.mlp(3, hidden=(5, 4), activation=jax.nn.gelu),
        (2, 3, 3, 1),
        drawn=True,
    ),
    # Second derivatives of so many layers take long; their parts have been checked.
    Case(
        "resnet",
        nn.models.resnet(8, 3),
        (4, 8, 8, 2),
        state=True,
        drawn=True,
        skip=("gradients",),
    ),
    Case(
        "resnet20",
        nn.models.resnet20(3),
        (4, 8, 8, 2),
        state=True,
        drawn=True,
        skip=("gradients",),
        long=True,
    ),
    # Batch norms over four single pixels make much of the rounding of bfloat16.
    Case(
        "resnet18",
        nn.models.resnet18(3, width=2),
        (4, 8, 8, 1),
        state=True,
        drawn=True,
        skip=("gradients", "half"),
        long=True,
    ),
    Case(
        "resnet18 for small images",
        nn.models.resnet18(3, width=2, small_images=True),
        (4, 8, 8, 1),
        state=True,
        drawn=True,
        skip=("gradients", "half"),
        long=True,
    ),
    Case(
        "vgg",
        nn.models.vgg(3, stages=((2,), (3, 3))),
        (4, 8, 8, 1),
        state=True,
        drawn=True,
        long=True,
    ),
    Case(
        "vit",
        nn.models.vit(3, features=4, depth=2, heads=2),
        (2, 8, 8, 1),
        random=True,
        drawn=True,
        long=True,
    ),
    Case("char_rnn", nn.models.char_rnn(4, features=3), Ints((2, 5), 4), drawn=True),
    Case(
        "char_rnn of a GRU",
        nn.models.char_rnn(4, cell="gru", features=3, layers=2),
        Ints((2, 5), 4),
        drawn=True,
    ),
]
CASES = [*LAYERS, *COMBINED, *MODELS]
