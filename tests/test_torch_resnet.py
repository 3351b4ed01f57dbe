"""ResNet-20 against the same net written in PyTorch, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_torch import agree, draw, filters, first, torch

import lenetjax as nn

X = draw(1, 3, 8, 8, 3)
BLOCKS = [
    (f"stage{s}.block{b}", s > 1 and b == 1) for s in (1, 2, 3) for b in (1, 2, 3)
]


@pytest.fixture(scope="module")
def start():
    """Params and state, by path, moved away from ones and zeros."""
    params, state = nn.models.resnet20().init_with_state(jax.random.key(0), X)
    params, state = (nn.flat(tree) for tree in (params, state))
    for i, name in enumerate(sorted(params)):
        scale = 0.1 if params[name].ndim < 4 else 0.0
        params[name] = params[name] + scale * draw(i, *params[name].shape)
    for i, name in enumerate(sorted(state)):
        state[name] = state[name] + 0.3 * np.abs(draw(i, *state[name].shape))
    return params, state


def theirs(x, params, state, *, train):
    """The net in PyTorch's functions; in training it changes the state in place."""
    functional = torch.nn.functional

    def conv(x, name, stride=1):
        weight = filters(params[f"{name}.weight"])
        return functional.conv2d(x, weight, stride=stride, padding=1)

    def norm(x, name):
        scale, bias = params[f"{name}.weight"], params[f"{name}.bias"]
        mean, var = state[f"{name}.mean"], state[f"{name}.var"]
        return functional.batch_norm(x, mean, var, scale, bias, train, 0.1, 1e-5)

    x = norm(conv(first(x), "conv"), "bn").relu()
    for block, halves in BLOCKS:
        body = f"{block}.add.body"
        y = norm(conv(x, f"{body}.conv1", 2 if halves else 1), f"{body}.bn1").relu()
        y = norm(conv(y, f"{body}.conv2"), f"{body}.bn2")
        if halves:
            zeros = x.shape[1] // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, zeros, zeros))
        x = (x + y).relu()
    return x.mean((2, 3)) @ params["fc.weight"] + params["fc.bias"]


@pytest.mark.parametrize("train", [False, True])
def test_outputs_and_gradients_are_those_of_pytorch(train, start):
    """Of the images and of all params, with running statistics and those of a batch."""
    params, state = start
    net, names = nn.models.resnet20(), sorted(params)

    def ours(x, *values):
        tree = nn.unflat(dict(zip(names, values, strict=True)))
        own = {name: jnp.asarray(a, x.dtype) for name, a in state.items()}
        y, _ = net.apply_with_state(tree, nn.unflat(own), x, train=train)
        return y

    def in_torch(x, *values):
        tensors = {
            name: torch.tensor(np.asarray(a, "float64")) for name, a in state.items()
        }
        return theirs(x, dict(zip(names, values, strict=True)), tensors, train=train)

    values = [np.asarray(params[name], "float64") for name in names]
    agree(ours, in_torch, X, *values, dtypes=("float64",))


def test_running_statistics_are_those_of_pytorch(start):
    """After a step of training, every mean and variance."""
    params, state = start
    with jax.enable_x64(True):
        params, state = (
            {name: np.asarray(a, "float64") for name, a in tree.items()}
            for tree in (params, state)
        )
        net = nn.models.resnet20()
        _, new = jax.jit(net.apply_with_state, static_argnames="train")(
            nn.unflat(params), nn.unflat(state), X, train=True
        )
    want = {name: torch.tensor(a) for name, a in state.items()}
    tensors = {name: torch.tensor(a) for name, a in params.items()}
    theirs(torch.tensor(X), tensors, want, train=True)

    new = nn.flat(new)
    assert sorted(new) == sorted(want)
    for name, array in new.items():
        np.testing.assert_allclose(array, want[name], rtol=1e-9, err_msg=name)
        assert (np.asarray(array) != state[name]).any()


@pytest.mark.parametrize("depth", [8, 20, 32])
def test_params_are_as_many_as_a_count_by_hand(depth):
    """Of weights, and of a scale and a bias for each channel of a batch norm."""
    n = (depth - 2) // 6
    weights = 9 * (3 * 16 + 2 * n * 16**2)
    weights += 9 * (16 * 32 + (2 * n - 1) * 32**2 + 32 * 64 + (2 * n - 1) * 64**2)
    norms = 2 * (16 + 2 * n * (16 + 32 + 64))

    params = nn.models.resnet(depth).plan(X).params

    assert nn.count(params) == weights + norms + 64 * 10 + 10


@pytest.mark.parametrize("depth", [2, 18, 21, -4, 20.0, "20", None])
def test_another_depth_is_refused(depth):
    with pytest.raises(nn.LayerError, match=r"depth must be 6n \+ 2, .*, got"):
        nn.models.resnet(depth)
