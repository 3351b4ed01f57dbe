"""Each kind of layer against PyTorch's module, and the way back for the catalogue."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import CATALOGUE

import lenetjax as nn
from lenetjax.interop import from_torch, parity, to_torch
from lenetjax.interop.torch_layers import KINDS

torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")
torch.set_num_threads(1)
T = torch.nn
LINE, IMAGE, VOLUME, FLAT = (2, 7, 4), (2, 5, 6, 4), (2, 4, 3, 4, 4), (3, 4)
SEQUENCE = (2, 3, 4)
OPTIONS = {"stride": 2, "padding": 1, "groups": 2}
MODULES = [  # ours, theirs, the shape of an input of ours
    (nn.linear(3), T.Linear(4, 3), FLAT),
    (nn.linear(3, bias=False), T.Linear(4, 3, bias=False), SEQUENCE),
    (nn.conv1d(6, 3, **OPTIONS), T.Conv1d(4, 6, 3, **OPTIONS), LINE),
    (nn.conv2d(6, (1, 3), **OPTIONS), T.Conv2d(4, 6, (1, 3), **OPTIONS), IMAGE),
    (nn.conv2d(8, 2, groups=4, bias=False),
     T.Conv2d(4, 8, 2, groups=4, bias=False), IMAGE),
    (nn.conv3d(6, 2, **OPTIONS), T.Conv3d(4, 6, 2, **OPTIONS), VOLUME),
    (nn.conv_transpose1d(6, 3, **OPTIONS), T.ConvTranspose1d(4, 6, 3, **OPTIONS), LINE),
    (nn.conv_transpose2d(6, (2, 3), **OPTIONS),
     T.ConvTranspose2d(4, 6, (2, 3), **OPTIONS), IMAGE),
    (nn.conv_transpose3d(6, 3, **OPTIONS),
     T.ConvTranspose3d(4, 6, 3, **OPTIONS), VOLUME),
    (nn.batch_norm(), T.BatchNorm1d(4), FLAT),
    (nn.batch_norm(), T.BatchNorm1d(4), LINE),
    (nn.batch_norm(affine=False), T.BatchNorm2d(4, affine=False), IMAGE),
    (nn.batch_norm(), T.BatchNorm3d(4), VOLUME),
    (nn.layer_norm(), T.LayerNorm(4), SEQUENCE),
    (nn.layer_norm(axes=2), T.LayerNorm((3, 4)), SEQUENCE),
    (nn.layer_norm(axes=3), T.LayerNorm((4, 5, 6)), IMAGE),
    (nn.rms_norm(), T.RMSNorm(4), SEQUENCE),
    (nn.group_norm(2), T.GroupNorm(2, 4), IMAGE),
    (nn.group_norm(2), T.GroupNorm(2, 4), FLAT),
    (nn.instance_norm(affine=True), T.InstanceNorm2d(4, affine=True), IMAGE),
    (nn.prelu(), T.PReLU(), IMAGE),
    (nn.prelu(4), T.PReLU(4), IMAGE),
    (nn.rnn(3), T.RNN(4, 3, batch_first=True), SEQUENCE),
    (nn.rnn(3, nonlinearity="relu", layers=2, bias=False),
     T.RNN(4, 3, 2, nonlinearity="relu", bias=False, batch_first=True), SEQUENCE),
    (nn.lstm(3, layers=2, bidirectional=True),
     T.LSTM(4, 3, 2, bidirectional=True, batch_first=True), SEQUENCE),
    (nn.gru(3, layers=2, bidirectional=True),
     T.GRU(4, 3, 2, bidirectional=True, batch_first=True), SEQUENCE),
    (nn.transformer_encoder_block(2, hidden=5),
     T.TransformerEncoderLayer(4, 2, 5, batch_first=True), SEQUENCE),
    (nn.transformer_encoder_block(2, hidden=5, activation="gelu", norm_first=True),
     T.TransformerEncoderLayer(4, 2, 5, activation="gelu", norm_first=True,
                               batch_first=True), SEQUENCE),
]  # fmt: skip


def drawn(module):
    """The module with weights of which no two are equal."""
    torch.manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape) - (0 if "var" in name else 0.5))
    return module


def same(back, theirs):
    """Asserts equality of state dicts, bit for bit."""
    assert sorted(back) == sorted(theirs)
    for name, tensor in theirs.items():
        assert back[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(back[name], tensor.numpy(), err_msg=name)


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [pytest.param(*row, id=f"{row[0].text} {row[2]}") for row in MODULES],
)
def test_a_layer_is_pytorchs_module(ours, theirs, shape):
    """Outputs and gradients, and the way back."""
    theirs = drawn(theirs)
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), "float32")

    params, state = from_torch(ours, theirs, x)

    assert parity(ours, params, theirs, x, state=state).largest < 1e-4
    same(to_torch(ours, params, state, x), theirs.state_dict())


def test_embedding():
    """Rows of a table; the input is of integers."""
    theirs, x = drawn(T.Embedding(5, 3)), jnp.array([[1, 4, 0]])

    params, state = from_torch(nn.embedding(5, 3), theirs, x)

    y = nn.embedding(5, 3).apply(params, x)
    np.testing.assert_array_equal(y, theirs(torch.tensor(np.array(x))).detach())
    same(to_torch(nn.embedding(5, 3), params, state, x), theirs.state_dict())


def test_learned_positions():
    """They are an embedding of 0, 1, ... in PyTorch."""
    net, theirs, x = (
        nn.learned_positions(5),
        drawn(T.Embedding(5, 3)),
        jnp.ones((1, 4, 3), jnp.float32),
    )

    params, _ = from_torch(net, theirs, x)

    want = 1 + theirs(torch.arange(4)).detach()
    np.testing.assert_array_equal(net.apply(params, x)[0], want)


def test_bilinear():
    """Of two inputs."""
    theirs, rng = drawn(T.Bilinear(3, 4, 2)), np.random.default_rng(0)
    x = tuple(rng.normal(size=(5, n)).astype("float32") for n in (3, 4))

    params, state = from_torch(nn.bilinear(2), theirs, x)

    want = theirs(*map(torch.tensor, x)).detach()
    np.testing.assert_allclose(nn.bilinear(2).apply(params, x), want, rtol=1e-4)
    same(to_torch(nn.bilinear(2), params, state, x), theirs.state_dict())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(4, 4), (3, 4), (3, 2), (4, 2)], ids=str)
def test_attention(sizes, bias):
    """With the weights of query, key and value in one array, and apart."""
    key, value = sizes
    theirs = drawn(
        T.MultiheadAttention(4, 2, bias=bias, kdim=key, vdim=value, batch_first=True)
    )
    rng = np.random.default_rng(0)
    x = {
        name: jnp.asarray(rng.normal(size=(2, 3, n)), "float32")
        for name, n in {"query": 4, "key": key, "value": value}.items()
    }
    net = nn.multi_head_attention(2, bias=bias)

    params, state = from_torch(net, theirs, x)

    tensors = [torch.tensor(np.array(x[name])) for name in ("query", "key", "value")]
    want, _ = theirs(*tensors)
    np.testing.assert_allclose(
        net.apply(params, x), want.detach(), rtol=1e-5, atol=1e-5
    )
    same(to_torch(net, params, state, x), theirs.state_dict())


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.multi_head_attention(4, kv_heads=2, features=4), "neither kv_heads"),
        (nn.multi_head_attention(2, rotary=True), "nor rotary"),
        (nn.multi_head_attention(2, features=6), "as many features as its query, 4"),
        (nn.weight_norm(nn.linear(2)), "remove_parametrizations"),
        (nn.spectral_norm(nn.linear(2)), "remove_parametrizations"),
        (nn.ensemble(2, nn.linear(2)), "of each copy"),
        (nn.layer("linear", lambda key, x: {"weight": jnp.ones((4, 4))},
                  lambda params, x: x @ params["weight"]), "is not known; known are"),
        (nn.layer("scale", lambda key, x: {"gain": jnp.ones((1, 1, 4))},
                  lambda params, x: x * params["gain"]), "scale is not known"),
    ],
)  # fmt: skip
def test_what_pytorch_does_not_have_is_refused(net, message):
    """With its path, before anything is turned."""
    net, x = nn.serial(body=net), jnp.ones((2, 3, 4))
    params, state = net.init_with_state(jax.random.key(0), x)

    with pytest.raises(nn.LayerError, match=message) as raised:
        to_torch(net, params, state, x)
    assert "'body'" in str(raised.value)
    assert raised.value.path == "body"


def test_copies_are_modules_with_numbers():
    """Of `repeat`, one inside another, around a `remat` in `mixed_precision`."""
    inner = nn.serial(fc=nn.linear(4), act=jnp.tanh)
    net = nn.serial(
        blocks=nn.repeat(2, nn.repeat(3, nn.remat(inner))), head=nn.linear(2)
    )
    net = nn.mixed_precision(net, compute="float32")
    block = [
        T.Sequential(*[Tanh(drawn(T.Linear(4, 4))) for _ in range(3)]) for _ in "ab"
    ]
    theirs = T.Sequential()
    theirs.add_module("blocks", T.Sequential(*block))
    theirs.add_module("head", T.Linear(4, 2))
    for i, tensor in enumerate(theirs.parameters()):
        tensor.data += 0.01 * i
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), "float32")

    params, state = from_torch(net, theirs, x)

    assert params["blocks"]["fc"]["weight"].shape == (2, 3, 4, 4)
    found = parity(net, params, theirs, x)
    assert found.largest < 1e-4
    assert found.rows[0].module.startswith("blocks.0.0.fc, blocks.0.1.fc")
    same(to_torch(net, params, state, x), theirs.state_dict())


def test_parity_compares_the_last_copy_of_a_layer_that_is_repeated_itself():
    """Its output is all that comes out; each copy's weights have their gradients."""
    net = nn.serial(blocks=nn.repeat(2, nn.repeat(3, nn.linear(4))))
    rows = [T.Sequential(*[drawn(T.Linear(4, 4)) for _ in range(3)]) for _ in "ab"]
    theirs = T.Sequential()
    theirs.add_module("blocks", T.Sequential(*rows))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), "float32")
    params, _ = from_torch(net, theirs, x)

    assert parity(net, params, theirs, x).rows[0].output < 1e-5
    bias = params["blocks"]["bias"].at[1, 2].add(1.0)
    params = {"blocks": {**params["blocks"], "bias": bias}}
    assert parity(net, params, theirs, x).rows[0].output > 1e-2


class Tanh(T.Module):
    def __init__(self, fc):
        super().__init__()
        self.fc = fc

    def forward(self, x):
        return torch.tanh(self.fc(x))


WITHOUT = {"ensemble", "weight_norm", "spectral_norm"}
UNKNOWN = {
    "multi_head_attention causal",
    "multi_head_attention grouped",
    "rms_norm of two axes",  # of the three that an image has
}
KNOWN = [
    case
    for case in CATALOGUE
    if case.name not in UNKNOWN and not WITHOUT & {x.kind for _, x in case.layer.walk()}
]


def test_the_catalogue_has_every_kind():
    kinds = {layer.kind for case in KNOWN for _, layer in case.layer.walk()}

    assert set(KINDS) <= kinds


def cases():
    """The first case of each function, and for the long run what takes longer."""
    kinds = set()
    for case in KNOWN:
        kind = case.name.split()[0]
        marks = [pytest.mark.variant] if kind in kinds or case.long else []
        kinds.add(kind)
        yield pytest.param(case, id=case.name, marks=marks)


@pytest.mark.parametrize("case", list(cases()))
def test_there_and_back_changes_no_bit(case):
    """For every net of the catalogue whose kinds are known."""
    params, state, x = case.example()

    theirs = to_torch(case.layer, params, state, x)
    back = from_torch(case.layer, theirs, x)

    assert jax.tree.structure(back) == jax.tree.structure((params, state))
    for one, other in zip(
        jax.tree.leaves(back), jax.tree.leaves((params, state)), strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
