"""Weights of Equinox under PyTorch's names: PyTorch computes Equinox's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn
from lenetjax.interop import equinox_state_dict

eqx = pytest.importorskip("equinox", reason="needs lenetjax[test]")
torch = pytest.importorskip("torch", reason="needs lenetjax[test]")

KEYS = list(jax.random.split(jax.random.key(0), 16))
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(4, 4, 6, 6)))


@pytest.fixture(autouse=True)
def as_equinox_needs():
    """Equinox's own layers broadcast between arrays of different rank."""
    with jax.numpy_rank_promotion("allow"):
        yield


def computed(theirs, arrays, x):
    """What a module of PyTorch's gives with these arrays, every one of them used."""
    theirs.load_state_dict({name: torch.tensor(a) for name, a in arrays.items()})
    with torch.no_grad():
        return theirs.eval().double()(torch.tensor(as_wide(x))).numpy()


def as_wide(x):
    x = np.asarray(x)
    return x.astype(np.float64) if x.dtype.kind == "f" else x


def agree(theirs, module, x):
    """Whether both give the same numbers."""
    arrays = equinox_state_dict(module)
    got, want = computed(theirs, arrays, x), jax.vmap(module)(x)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "theirs", "x"),
    [
        (
            eqx.nn.Linear(4, 3, key=KEYS.pop()),
            torch.nn.Linear(4, 3),
            IMAGES[:, :, 0, 0],
        ),
        (
            eqx.nn.Conv2d(4, 6, 3, 2, groups=2, key=KEYS.pop()),
            torch.nn.Conv2d(4, 6, 3, 2, groups=2),
            IMAGES,
        ),
        (
            eqx.nn.Conv1d(4, 3, 3, use_bias=False, key=KEYS.pop()),
            torch.nn.Conv1d(4, 3, 3, bias=False),
            IMAGES[:, :, 0],
        ),
        (
            eqx.nn.ConvTranspose2d(4, 6, (3, 2), 2, key=KEYS.pop()),
            torch.nn.ConvTranspose2d(4, 6, (3, 2), 2),
            IMAGES,
        ),
        (
            eqx.nn.ConvTranspose1d(4, 6, 3, 2, groups=2, key=KEYS.pop()),
            torch.nn.ConvTranspose1d(4, 6, 3, 2, groups=2),
            IMAGES[:, :, 0],
        ),
        (eqx.nn.PReLU(0.3), torch.nn.PReLU(), IMAGES),
        (eqx.nn.GroupNorm(2, 4), torch.nn.GroupNorm(2, 4), IMAGES),
        (eqx.nn.LayerNorm(6), torch.nn.LayerNorm(6), IMAGES[:, 0, 0]),
        (
            eqx.nn.Embedding(5, 3, key=KEYS.pop()),
            torch.nn.Embedding(5, 3),
            jnp.array([0, 4, 2]),
        ),
        (
            eqx.nn.Sequential(
                [
                    eqx.nn.Conv2d(4, 3, 3, key=KEYS.pop()),
                    eqx.nn.Lambda(jax.nn.relu),
                    eqx.nn.Sequential([eqx.nn.Conv2d(3, 2, 3, key=KEYS.pop())]),
                ]
            ),
            torch.nn.Sequential(
                torch.nn.Conv2d(4, 3, 3),
                torch.nn.ReLU(),
                torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3)),
            ),
            IMAGES,
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_pytorch_computes_the_same(module, theirs, x):
    """Each kind of layer whose arrays differ between the two, and some that do not."""
    agree(theirs, module, x)


@pytest.mark.parametrize("mode", ["batch", "ema"])
def test_batch_norm(mode):
    """The running statistics are those that Equinox uses in evaluation."""
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(4, "batch", mode=mode)
    norm = eqx.tree_at(lambda n: n.weight, norm, jnp.arange(1.0, 5))
    train = jax.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    for i in range(3):
        _, state = train(IMAGES + i, state)
    module = eqx.nn.inference_mode(norm)
    run = jax.vmap(module, axis_name="batch", in_axes=(0, None), out_axes=(0, None))

    arrays = equinox_state_dict(module, state)

    got = computed(torch.nn.BatchNorm2d(4), arrays, IMAGES)
    np.testing.assert_allclose(got, run(IMAGES, state)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(nn.LayerError, match="equinox_state_dict\\(module, state\\)"):
        equinox_state_dict(module)


class LeNet(eqx.Module):
    """As people write them, with layers in attributes, a list and a dict."""

    conv: eqx.nn.Conv2d
    rest: list
    named: dict
    size: int = eqx.field(static=True)

    def __init__(self):
        self.conv = eqx.nn.Conv2d(4, 2, 3, key=KEYS.pop())
        self.rest = [eqx.nn.Linear(32, 5, key=KEYS.pop()), jax.nn.relu]
        self.named = {"out": eqx.nn.Linear(5, 2, key=KEYS.pop())}
        self.size = 3


def test_names_are_those_of_attributes():
    """With numbers for the entries of lists; what is no array is left out."""
    arrays = equinox_state_dict(LeNet())

    assert {name: array.shape for name, array in arrays.items()} == {
        "conv.weight": (2, 4, 3, 3),
        "conv.bias": (2,),
        "rest.0.weight": (5, 32),
        "rest.0.bias": (5,),
        "named.out.weight": (2, 5),
        "named.out.bias": (2,),
    }
    assert all(type(array) is np.ndarray for array in arrays.values())


def test_what_is_no_module():
    """It is refused."""
    with pytest.raises(nn.LayerError, match=r"an equinox\.Module, got dict"):
        equinox_state_dict({})


def test_from_torch_takes_them():
    """Ours computes Equinox's numbers, behind a flatten too."""
    conv = eqx.nn.Conv2d(4, 6, 3, key=KEYS[0])
    linear = eqx.nn.Linear(6 * 4 * 4, 3, key=KEYS[1])
    module = eqx.nn.Sequential([conv, eqx.nn.Lambda(jnp.ravel), linear])
    net = nn.serial(nn.conv2d(6, 3), nn.flatten(), nn.linear(3))
    x = jnp.moveaxis(IMAGES, 1, -1)

    params, _ = nn.interop.from_torch(net, equinox_state_dict(module), x)

    want = jax.vmap(module)(IMAGES)
    np.testing.assert_allclose(net.apply(params, x), want, rtol=1e-5, atol=1e-5)
