"""The order of features after images, against PyTorch's nets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn
from lenetjax.interop import from_torch, to_torch

torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")
torch.set_num_threads(1)
F, T = torch.nn.functional, torch.nn
joined = functools.partial(jnp.concatenate, axis=-1)
IMAGE, LINE, VOLUME = (4, 4, 6, 3), (4, 6, 3), (4, 3, 4, 2, 2)


class Theirs(T.Module):
    """Modules by name, and a function of them."""

    def __init__(self, forward, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def chain(*modules):
    return T.Sequential(*modules)


def gated(net, x):
    """Squeeze and excitation."""
    x = net.conv(x)
    gate = jax.nn.sigmoid(net.gate(x.mean((1, 2))))
    return net.fc((x * gate[:, None, None]).reshape(len(x), -1))


def their_gated(net, x):
    x = net.conv(x)
    gate = torch.sigmoid(net.gate(x.mean((2, 3))))
    return net.fc((x * gate[:, :, None, None]).flatten(1))


def beside(net, x):
    """A flattened image, and a summary of it beside it."""
    x = net.conv(x)
    return net.fc(joined([x.reshape(len(x), -1), net.side(x.mean((1, 2)))]))


def their_beside(net, x):
    x = net.conv(x)
    return net.fc(torch.cat([x.flatten(1), net.side(x.mean((2, 3)))], 1))


def skipping(net, x):
    """A U-Net's joint: images joined, and convolved again."""
    y = net.down(x)
    y = net.conv(joined([net.up(y), x]))
    return net.fc(y.reshape(len(x), -1))


def their_skipping(net, x):
    y = net.down(x)
    return net.fc(net.conv(torch.cat([net.up(y), x], 1)).flatten(1))


def tokens(net, x):
    """A small vision transformer."""
    x = net.patch(x)
    x = net.block(x.reshape(len(x), -1, x.shape[-1]))
    return net.fc(x.reshape(len(x), -1))


def their_tokens(net, x):
    return net.fc(net.block(net.patch(x).flatten(2).transpose(1, 2)).flatten(1))


def read(net, x):
    """A line of convolutions, read by an LSTM."""
    return net.fc(net.lstm(net.conv(x)).reshape(len(x), -1))


def their_read(net, x):
    y, _ = net.lstm(net.conv(x).transpose(1, 2))
    return net.fc(y.flatten(1))


def by_hand(net, x):
    """Flattened in PyTorch's order already."""
    return net.fc(net.conv(x).transpose(0, 3, 1, 2).reshape(len(x), -1))


def two_views(net, x):
    """The same weights on two flattened images."""
    y = net.conv(x)
    return net.fc(y.reshape(len(x), -1)) + net.fc(jnp.tanh(y).reshape(len(x), -1))


def their_two_views(net, x):
    y = net.conv(x)
    return net.fc(y.flatten(1)) + net.fc(torch.tanh(y).flatten(1))


def pair(net, x):
    x = net.conv(x)
    return net.both((x.reshape(len(x), -1), x.mean((1, 2))))


def their_pair(net, x):
    x = net.conv(x)
    return net.both(x.flatten(1), x.mean((2, 3)))


FLAT = 4 * 2 * 3  # of a 3x3 convolution with 4 filters, pooled
AGREE = {  # ours, theirs, the shape of an input of ours
    "an mlp on color images": (
        nn.serial(nn.flatten(), nn.linear(5)),
        chain(T.Flatten(), T.Linear(72, 5)), IMAGE,
    ),
    "an mlp on images without channels": (
        nn.serial(nn.flatten(), nn.linear(5)), chain(T.Flatten(), T.Linear(18, 5)), LINE
    ),
    "much between": (
        nn.serial(
            nn.conv2d(4, 3, padding=1), nn.batch_norm(), jax.nn.gelu, nn.dropout(0.5),
            nn.avg_pool2d(2), lambda x: 3 * x + 1, nn.flatten(), nn.dropout(0.5),
            nn.batch_norm(), nn.layer_norm(), nn.rms_norm(), nn.prelu(FLAT), jnp.tanh,
            nn.group_norm(1), nn.linear(5), jax.nn.relu, nn.linear(2),
        ),
        chain(
            T.Conv2d(3, 4, 3, padding=1), T.BatchNorm2d(4), T.GELU("tanh"),
            T.Dropout(0.5), T.AvgPool2d(2), Theirs(lambda net, x: 3 * x + 1),
            T.Flatten(), T.Dropout(0.5), T.BatchNorm1d(FLAT), T.LayerNorm(FLAT),
            T.RMSNorm(FLAT, 1e-6), T.PReLU(FLAT), T.Tanh(), T.GroupNorm(1, FLAT),
            T.Linear(FLAT, 5), T.ReLU(), T.Linear(5, 2),
        ), IMAGE,
    ),
    "a line": (
        nn.serial(nn.conv1d(4, 3), nn.max_pool1d(2), nn.flatten(), nn.linear(2)),
        chain(T.Conv1d(3, 4, 3), T.MaxPool1d(2), T.Flatten(), T.Linear(8, 2)), LINE,
    ),
    "a volume": (
        nn.serial(nn.conv3d(3, 2, padding=1), nn.flatten(), nn.linear(2)),
        chain(T.Conv3d(2, 3, 2, padding=1), T.Flatten(), T.Linear(180, 2)), VOLUME,
    ),
    "a pooled image": (
        nn.serial(nn.conv2d(4, 3), nn.global_avg_pool(), nn.linear(2)),
        chain(
            T.Conv2d(3, 4, 3), Theirs(lambda net, x: x.mean((2, 3))), T.Linear(4, 2)
        ), IMAGE,
    ),
    "a residual": (
        nn.serial(nn.residual(nn.conv2d(3, 3, padding=1)), nn.flatten(), nn.linear(2)),
        chain(
            Theirs(lambda net, x: net.body(x) + x, body=T.Conv2d(3, 3, 3, padding=1)),
            T.Flatten(), T.Linear(72, 2),
        ), IMAGE,
    ),
    "images joined by a branch": (
        nn.serial(
            nn.branch(a=nn.conv2d(2, 1), b=nn.conv2d(3, 3, padding=1), merge=joined),
            nn.flatten(), nn.linear(2),
        ),
        chain(
            Theirs(
                lambda net, x: torch.cat([net.a(x), net.b(x)], 1),
                a=T.Conv2d(3, 2, 1), b=T.Conv2d(3, 3, 3, padding=1),
            ),
            T.Flatten(), T.Linear(120, 2),
        ), IMAGE,
    ),
    "gated": (
        nn.compose(gated, conv=nn.conv2d(4, 1), gate=nn.linear(4), fc=nn.linear(2)),
        Theirs(
            their_gated, conv=T.Conv2d(3, 4, 1), gate=T.Linear(4, 4), fc=T.Linear(96, 2)
        ), IMAGE,
    ),
    "a vector beside an image": (
        nn.compose(beside, conv=nn.conv2d(4, 1), side=nn.linear(5), fc=nn.linear(2)),
        Theirs(
            their_beside, conv=T.Conv2d(3, 4, 1), side=T.Linear(4, 5),
            fc=T.Linear(101, 2),
        ), IMAGE,
    ),
    "a skip": (
        nn.compose(
            skipping, down=nn.conv2d(4, 2, stride=2),
            up=nn.conv_transpose2d(2, 2, stride=2), conv=nn.conv2d(3, 1),
            fc=nn.linear(2),
        ),
        Theirs(
            their_skipping, down=T.Conv2d(3, 4, 2, 2), up=T.ConvTranspose2d(4, 2, 2, 2),
            conv=T.Conv2d(5, 3, 1), fc=T.Linear(72, 2),
        ), IMAGE,
    ),
    "a vision transformer": (
        nn.compose(
            tokens, patch=nn.conv2d(4, 2, stride=2),
            block=nn.transformer_encoder_block(2, hidden=5), fc=nn.linear(2),
        ),
        Theirs(
            their_tokens, patch=T.Conv2d(3, 4, 2, 2),
            block=T.TransformerEncoderLayer(4, 2, 5, batch_first=True),
            fc=T.Linear(24, 2),
        ), IMAGE,
    ),
    "an lstm after convolutions": (
        nn.compose(read, conv=nn.conv1d(4, 3), lstm=nn.lstm(3), fc=nn.linear(2)),
        Theirs(
            their_read, conv=T.Conv1d(3, 4, 3), lstm=T.LSTM(4, 3, batch_first=True),
            fc=T.Linear(12, 2),
        ), LINE,
    ),
    "flattened by hand": (
        nn.compose(by_hand, conv=nn.conv2d(4, 1), fc=nn.linear(2)),
        Theirs(
            lambda net, x: net.fc(net.conv(x).flatten(1)),
            conv=T.Conv2d(3, 4, 1), fc=T.Linear(96, 2),
        ), IMAGE,
    ),
    "shared weights": (
        nn.compose(two_views, conv=nn.conv2d(4, 1), fc=nn.linear(2)),
        Theirs(their_two_views, conv=T.Conv2d(3, 4, 1), fc=T.Linear(96, 2)), IMAGE,
    ),
    "two inputs": (
        nn.compose(pair, conv=nn.conv2d(4, 1), both=nn.bilinear(2)),
        Theirs(their_pair, conv=T.Conv2d(3, 4, 1), both=T.Bilinear(96, 4, 2)), IMAGE,
    ),
    "an image made of features": (
        nn.serial(
            nn.linear(24), nn.unflatten(1, (4, 2, 3)), nn.transpose((0, 2, 3, 1)),
            nn.batch_norm(), nn.conv_transpose2d(2, 2, stride=2),
        ),
        chain(
            T.Linear(5, 24), T.Identity(), T.Unflatten(1, (4, 2, 3)), T.BatchNorm2d(4),
            T.ConvTranspose2d(4, 2, 2, 2),
        ), (3, 5),
    ),
    "a layer norm over an image": (
        nn.serial(
            nn.conv2d(4, 1), nn.layer_norm(axes=3), nn.flatten(), nn.linear(2)
        ),
        chain(T.Conv2d(3, 4, 1), T.LayerNorm((4, 4, 6)), T.Flatten(), T.Linear(96, 2)),
        IMAGE,
    ),
}  # fmt: skip


def close(got, want):
    want = want.detach().numpy()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("name", AGREE)
def test_outputs_are_those_of_pytorch(name):
    """With random weights, and the way back."""
    net, theirs, shape = AGREE[name]
    torch.manual_seed(1)
    for key, tensor in theirs.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape) - 0.5 * ("var" not in key))
    x = np.random.default_rng(0).normal(size=shape).astype("float32")

    params, state = from_torch(net, theirs, x)

    images = len(shape) > 3 or (len(shape) == 3 and name != list(AGREE)[1])
    given = torch.tensor(np.moveaxis(x, -1, 1).copy() if images else x)
    want = theirs.eval()(given)
    got = net.apply(params, x, state=state)
    close(np.moveaxis(got, -1, 1) if got.ndim > 2 else got, want)
    back = to_torch(net, params, state, x)
    assert sorted(back) == sorted(theirs.state_dict())
    for key, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(back[key], tensor, err_msg=key)
