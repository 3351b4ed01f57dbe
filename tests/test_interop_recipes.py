"""Optimizers, loaders, samplers and kernels of others on nets of ours, as they are."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn


@pytest.fixture
def without_64_bits():
    with jax.enable_x64(False):
        yield


IMAGES = np.random.default_rng(0).normal(size=(24, 4, 4, 1)).astype(np.float32)
LABELS = (IMAGES.sum((1, 2, 3)) > 0).astype(np.int32)


def small():
    return nn.serial(
        conv=nn.conv2d(3, 2), act=jnp.tanh, flatten=nn.flatten(), fc=nn.linear(2)
    )


class Pairs:
    """What grain and PyTorch take for a source of examples."""

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, i):
        return IMAGES[i], LABELS[i]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("schedule_free_adamw", {"learning_rate": 0.05}),
        ("muon", {"learning_rate": 0.05}),
        ("prodigy", {}),
        ("adopt", {"learning_rate": 0.05}),
        ("momo_adam", {"learning_rate": 0.05}),
    ],
)
@pytest.mark.compiled
def test_optimizers_of_optax_contrib(name, options):
    """Each makes the loss fall to a third; some ask for its value or its function."""
    net, optimizer = small(), getattr(optax.contrib, name)(**options)
    run = nn.train_state(net, optimizer, jax.random.key(0), IMAGES)
    step = nn.train_step(net, optimizer)
    losses = []
    for _ in range(100):
        run, metrics = step(run, (IMAGES, LABELS))
        losses.append(float(metrics["loss"]))

    assert losses[-1] < losses[0] / 3


def loaders():
    import grain
    from torch.utils.data import DataLoader

    dataset = grain.MapDataset.source(Pairs()).batch(5)
    loader = grain.DataLoader(
        data_source=Pairs(),
        sampler=grain.samplers.SequentialSampler(len(Pairs())),
        operations=[grain.transforms.Batch(5)],
    )
    return {
        "MapDataset": dataset,
        "IterDataset": dataset.to_iter_dataset(),
        "DataLoader": loader,
        "torch": DataLoader(Pairs(), batch_size=5),
    }


@pytest.mark.compiled
def test_loaders_feed_fit(tmp_path):
    """They give the params that a plain list of the same batches gives, bit for bit."""
    pytest.importorskip("grain", reason="needs lenetjax[test]")
    pytest.importorskip("torch", reason="needs lenetjax[test]")
    starts = range(0, len(LABELS), 5)
    plain = [(IMAGES[i : i + 5], LABELS[i : i + 5]) for i in starts]

    def params(batches, **options):
        run = nn.fit(
            small(), optax.adam(0.01), batches, epochs=2, progress=False, **options
        )
        return run.params

    want = params(plain)

    for loader in loaders().values():
        jax.tree.map(np.testing.assert_array_equal, params(loader), want)


@pytest.mark.compiled
def test_blackjax_finds_a_known_posterior(without_64_bits):  # which it mixes itself
    """NUTS on a linear model: mean and covariance are those of the formula."""
    blackjax = pytest.importorskip("blackjax", reason="needs lenetjax[test]")
    rng, noise = np.random.default_rng(1), 0.5
    x = rng.normal(size=(30, 2)).astype(np.float32)
    y = x @ np.array([[1.0], [-2.0]], np.float32) + noise * rng.normal(size=(30, 1))
    net = nn.linear(1)

    def log_density(params):
        misfit = ((net.apply(params, x) - y) ** 2).sum() / noise**2
        return -(misfit + optax.tree.norm(params, squared=True)) / 2

    sampler = blackjax.nuts(log_density, 0.06, jnp.ones(3))

    def step(state, key):
        state, info = sampler.step(key, state)
        return state, (state.position, info.acceptance_rate)

    start = sampler.init(net.init(jax.random.key(0), x))
    keys = jax.random.split(jax.random.key(1), 2500)
    _, (draws, acceptance) = jax.lax.scan(step, start, keys)
    draws = np.column_stack([draws["weight"][500:, :, 0], draws["bias"][500:]])

    design = np.column_stack([x, np.ones(30)])
    covariance = np.linalg.inv(design.T @ design / noise**2 + np.eye(3))
    mean = covariance @ design.T @ y[:, 0] / noise**2
    deviation = np.sqrt(np.diag(covariance))
    assert 0.6 < acceptance.mean() <= 1
    assert np.abs(draws.mean(0) - mean).max() < 0.2 * deviation.min()
    np.testing.assert_allclose(draws.std(0), deviation, rtol=0.15)


def test_the_neural_tangent_kernel():
    """Through jax.jacobian it is what NumPy makes of derivatives written by hand."""
    net = nn.serial(fc1=nn.linear(4), act=jnp.tanh, fc2=nn.linear(2))
    rng = np.random.default_rng(2)
    x1, x2 = (rng.normal(size=(n, 3)).astype(np.float32) for n in (3, 5))
    params = net.init(jax.random.key(0), x1)

    def jacobian(x):
        return jax.jacobian(lambda params: net.apply(params, x))(params)

    def product(a, b):
        a, b = (j.reshape(*j.shape[:2], -1) for j in (a, b))
        return jnp.einsum("nip,mjp->nmij", a, b)

    kernel = sum(jax.tree.leaves(jax.tree.map(product, jacobian(x1), jacobian(x2))))

    weight1, bias1 = (np.asarray(params["fc1"][name]) for name in ("weight", "bias"))
    weight2 = np.asarray(params["fc2"]["weight"])

    def by_hand(x):  # rows: outputs of examples; columns: all params
        rows = []
        for example in x:
            hidden = np.tanh(example @ weight1 + bias1)
            for i in range(2):
                slope = (1 - hidden**2) * weight2[:, i]
                own = np.zeros((5, 2))
                own[:4, i], own[4, i] = hidden, 1
                first = np.outer(np.append(example, 1), slope)
                rows.append(np.concatenate([first.ravel(), own.ravel()]))
        return np.array(rows)

    want = (by_hand(x1) @ by_hand(x2).T).reshape(3, 2, 5, 2).transpose(0, 2, 1, 3)
    np.testing.assert_allclose(kernel, want, rtol=1e-4, atol=1e-5)
