"""Models beyond LeNet: their sizes, what they learn, and what they refuse."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lenetjax as nn

resnet18, vgg, vit, char_rnn = (
    nn.models.resnet18, nn.models.vgg, nn.models.vit, nn.models.char_rnn
)  # fmt: skip
SMALL, LARGE = (1, 32, 32, 3), (1, 224, 224, 3)
VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))
SENTENCE = "the quick brown fox jumps over the lazy dog. "


def params_of(net, shape):
    return nn.count(net.plan(jax.ShapeDtypeStruct(shape, jnp.float32)).params)


def test_resnet18_has_as_many_params_as_torchvision_s():
    """11,689,512 with 1,000 classes."""
    assert params_of(resnet18(), LARGE) == 11_689_512
    stem, last = 3 * 64 * (7**2 - 3**2), 990 * 513
    assert params_of(resnet18(10, small_images=True), SMALL) == 11_689_512 - stem - last


def test_vit_has_as_many_params_as_torchvision_s():
    """86,567,656 in vit_b_16, of which a class token and its position are not here."""
    net = vit(1000, patch=16, features=768, depth=12, heads=12)

    assert params_of(net, LARGE) == 86_567_656 - 2 * 768


def test_vgg_has_as_many_params_as_a_count_by_hand():
    """Weights, biases, and a scale and a shift for each channel."""
    channels = [3, *sum(VGG11, ())]
    pairs = itertools.pairwise(channels)
    want = sum(9 * before * after + 3 * after for before, after in pairs)

    assert params_of(vgg(stages=VGG11), SMALL) == want + 512 * 10 + 10


def test_resnet18_halves_the_image_where_it_should():
    """Five times as it is, and three times for small images."""
    sides = {}
    for small in (False, True):
        plan = resnet18(width=2, small_images=small).plan(jnp.zeros((1, 64, 64, 1)))
        sides[small] = [
            child.y.shape[1] for child in plan.children if child.y.ndim == 4
        ]

    assert sides[False] == [32, 32, 32, 16, 16, 8, 4, 2]
    assert sides[True] == [64, 64, 64, 64, 32, 16, 8]


def losses(net, examples, labels, rate, steps):
    """The loss at each step of training on one batch."""
    optimizer = optax.adam(rate)
    start = jax.jit(lambda key: nn.train_state(net, optimizer, key, examples))
    run = start(jax.random.key(0))
    step, found = nn.train_step(net, optimizer), []
    for _ in range(steps):
        run, metrics = step(run, (examples, labels))
        found.append(float(metrics["loss"]))
    return found


def long(*arguments, name):
    """A variant that is left to the long run, which CONTRIBUTING.md tells of."""
    return pytest.param(*arguments, id=name, marks=pytest.mark.variant)


@pytest.mark.parametrize(
    "net",
    [
        pytest.param(vgg(stages=((4,), (8, 8))), id="vgg"),
        pytest.param(vit(features=16, depth=2, heads=2), id="vit"),
        long(resnet18(10, width=2), name="resnet18"),
        long(resnet18(10, width=2, small_images=True), name="resnet18 for small"),
    ],
)
def test_images_are_learned(net):
    """Of real digits, from about the loss of a guess to less than half of it."""
    images, labels = (part[:64] for part in nn.data.digits(image_size=8).train)

    found = losses(net, images, labels, 0.01, 40)

    assert 1.5 < found[0] < 4
    assert np.mean(found[-5:]) < np.log(10) / 2


def text_and_next(length=15):
    """A sentence again and again as ids, and the ids one further on."""
    letters = sorted(set(SENTENCE))
    ids = np.array([letters.index(letter) for letter in SENTENCE * 8], np.int32)
    ids = ids[: len(ids) // (length + 1) * (length + 1)].reshape(-1, length + 1)
    return len(letters), (ids[:, :-1], ids[:, 1:])


@pytest.mark.parametrize(
    ("cell", "at_once"),
    [("lstm", None), long("gru", None, name="gru"), long("gru", 2, name="at once")],
)
def test_characters_are_learned_by_fit(cell, at_once):
    """The labels are as long as the text, and the accuracy is one of characters.

    From batches that come ready-made, and from a data set that stays on the device.
    """
    vocabulary, text = text_and_next()
    net = char_rnn(vocabulary, cell=cell, features=32)
    split = nn.data.Split(*text)
    data = [text] if at_once is None else nn.data.Dataset(train=split, test=split)
    result = nn.fit(
        net, optax.adam(0.02), data, epochs=60, batch_size=11, progress=False,
        test=[text], steps_per_execution=at_once,
    )  # fmt: skip

    first, last = result.history[0], result.history[-1]
    assert abs(first["train_loss"] - np.log(vocabulary)) < 0.5
    assert last["train_loss"] < 0.5
    predicted = nn.predict(net, result.params, text[0]).argmax(-1)
    assert result.test_accuracy == pytest.approx((predicted == text[1]).mean())
    assert 0.8 < result.test_accuracy < 1


def test_a_character_that_is_none_is_refused_by_fit():
    """As a label, and in what is read."""
    vocabulary, (read, labels) = text_and_next()
    net = char_rnn(vocabulary, features=4)

    with pytest.raises(
        nn.LayerError, match=f"labels must be from 0 to {vocabulary - 1}"
    ):
        nn.fit(net, optax.sgd(0.1), [(read, labels + 5)], epochs=1, progress=False)
    with pytest.raises(nn.LayerError, match=r"labels must be ints \(22, 15\)"):
        nn.fit(net, optax.sgd(0.1), [(read, labels[:, 1:])], epochs=1, progress=False)
    with pytest.raises(nn.LayerError, match=r"'embed' .*"):
        net.apply(net.init(jax.random.key(0), read), read + 5)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_char_rnn_is_pytorch_s(cell, layers):
    """Embedding, LSTM or GRU, and a linear layer, with their weights."""
    torch = pytest.importorskip("torch", reason="needs lenetjax[torch]")
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
    module = torch.nn.Module()
    module.embed = torch.nn.Embedding(7, 5)
    module.rnn = kind(5, 5, layers, batch_first=True)
    module.fc = torch.nn.Linear(5, 7)
    net = char_rnn(7, cell=cell, features=5, layers=layers)
    x = np.random.default_rng(0).integers(0, 7, (3, 6))

    params, _ = nn.interop.from_torch(net, module, x)

    with torch.no_grad():
        want = module.fc(module.rnn(module.embed(torch.tensor(x)))[0])
    np.testing.assert_allclose(net.apply(params, x), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: resnet18(0), "features must be a positive int, got 0"),
        (lambda: resnet18(width=1.5), r"got 1\.5"),
        (lambda: vgg(stages=(32, 64)), r"such as \(\(32,\), .*got \(32, 64\)"),
        (lambda: vgg(stages=3), "stages must be the channels of each stage"),
        (lambda: vgg(stages=((3, -1),)), "got -1"),
        (lambda: vit(patch=0), "patch must be a positive int, got 0"),
        (lambda: vit(features="64"), "features must be a positive int, got '64'"),
        (lambda: vit(depth=0), "depth must be a positive int"),
        (lambda: vit(dropout=2), "dropout"),
        (lambda: char_rnn(0), "num_embeddings must be a positive int, got 0"),
        (lambda: char_rnn(5, cell="rnn"), "cell must be one of lstm, gru, got 'rnn'"),
    ],
)
def test_settings_that_make_no_net_are_refused(make, message):
    with pytest.raises(nn.LayerError, match=message):
        make()


@pytest.mark.parametrize(
    ("net", "shape", "message"),
    [
        (vgg(), (1, 16, 16, 1), "'stage5/pool'"),
        (vit(), (1, 30, 30, 1), "'cut'.* 4 does not divide height and width"),
        (vit(heads=3), (1, 32, 32, 1), "'blocks'.*3"),
    ],
)
def test_images_that_do_not_fit_are_refused(net, shape, message):
    with pytest.raises(nn.LayerError, match=message):
        net.plan(jnp.zeros(shape))


def test_vit_is_of_one_image_size():
    """Each position has a vector of its own."""
    net = vit(features=8, depth=1)
    params = net.plan(jnp.zeros((1, 32, 32, 1))).params

    with pytest.raises(nn.LayerError, match=r"positions/weight: expected \(49, 8\)"):
        jax.eval_shape(net.apply, params, jnp.zeros((1, 28, 28, 1)))
