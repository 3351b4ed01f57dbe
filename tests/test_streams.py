"""Data larger than memory: images by class, grain, and going on where the data were."""

import json
import os
import signal

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_image_folder import COUNT, three_colors
from test_resuming import Stopped, bits, points, told

import lenetjax as nn
from lenetjax.checkpoint import Folder
from lenetjax.data import image_folder
from lenetjax.feeding import Streamed
from lenetjax.positions import MOST, Iteration, ahead, checked
from lenetjax.sharding import Anywhere

grain = pytest.importorskip("grain", reason="needs lenetjax[grain]")
pytestmark = pytest.mark.usefixtures("kept_programs")

SIZE = 4  # images in a batch
STEPS = COUNT // SIZE


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return three_colors(tmp_path_factory.mktemp("pictures"))


class Noted:
    """A source that notes which of its examples are asked for."""

    def __init__(self, root):
        self.source, self.asked = image_folder(root, image_size=8), []

    def __len__(self):
        return len(self.source)

    def __getitem__(self, i):
        self.asked.append(i)
        return self.source[i]

    def __repr__(self):
        return repr(self.source)


def by_example(source):
    few = grain.ReadOptions(num_threads=2, prefetch_buffer_size=2)
    shuffled = grain.MapDataset.source(source).shuffle(seed=1)
    return shuffled.to_iter_dataset(few).batch(SIZE)


def by_loader(source):
    sampler = grain.samplers.IndexSampler(
        len(source), shuffle=True, seed=1, num_epochs=1
    )
    return grain.DataLoader(
        data_source=source, sampler=sampler, operations=[grain.transforms.Batch(SIZE)]
    )


def by_windows(source):
    options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
    plain = grain.MapDataset.source(source).to_iter_dataset(options)
    return grain.experimental.WindowShuffleIterDataset(
        plain, window_size=7, seed=1
    ).batch(SIZE)


LOADERS = {
    "MapDataset": lambda s: grain.MapDataset.source(s).shuffle(seed=1).batch(SIZE),
    "IterDataset": by_example,
    "DataLoader": by_loader,
    "windows": by_windows,
}


class Stopping(Folder):
    """The power fails after the checkpoint of a step."""

    def __init__(self, path, step):
        super().__init__(path, keep=2)
        self.last = step

    def save(self, step, *rest, **options):
        super().save(step, *rest, **options)
        if step == self.last:
            raise Stopped


def net():
    return nn.serial(flat=nn.flatten(), drop=nn.dropout(0.2), fc=nn.linear(3))


def train(data, *, epochs=2, **options):
    return nn.fit(
        net(),
        optax.sgd(0.1, momentum=0.9),
        data,
        epochs=epochs,
        progress=False,
        **options,
    )


def gone_on(data, again, step, path, **options):
    """A training on data that was stopped after a step, and went on with others."""
    options |= {"checkpoint_every": 1}
    with pytest.raises(Stopped):
        train(data, checkpoints=Stopping(path, step), **options)
    return train(again, checkpoints=path, **options)


@pytest.fixture(scope="module")
def whole(pictures):
    """What each loader's batches make of the net, without a stop."""
    source = image_folder(pictures, image_size=8)
    return {name: train(load(source)) for name, load in LOADERS.items()}


@pytest.mark.parametrize(
    ("name", "step", "prefetch"),
    [
        ("MapDataset", 1, 0),
        ("MapDataset", 4, 1),
        ("MapDataset", STEPS, 0),
        ("MapDataset", STEPS + 2, 2),
        ("IterDataset", 4, 0),
        ("IterDataset", STEPS, 2),
        ("DataLoader", 4, 0),
        ("DataLoader", STEPS + 2, 1),
        ("windows", 4, 1),
    ],
)
def test_a_stopped_training_goes_on_where_the_data_were(
    pictures, whole, tmp_path, name, step, prefetch
):
    """Bit for bit, and what was trained on is not read again."""
    load, source = LOADERS[name], Noted(pictures)

    resumed = gone_on(
        load(Noted(pictures)), load(source), step, tmp_path, prefetch=prefetch
    )

    assert bits(resumed) == bits(whole[name])
    assert told(resumed) == told(whole[name])
    left = 2 * COUNT - step * SIZE
    # Between the last batch and the test, another one is read for its shape.
    more = COUNT if step == STEPS else 0
    if name != "windows":  # a window is read as a whole
        assert left <= len(source.asked) <= left + more


def test_batches_without_a_position_are_gone_through_again(pictures, whole, tmp_path):
    """The result is the same; the source is asked for them."""
    source = Noted(pictures)

    def plain(source):
        dataset = LOADERS["MapDataset"](source)
        return lambda epoch: (dataset[i] for i in range(len(dataset)))

    resumed = gone_on(plain(Noted(pictures)), plain(source), 4, tmp_path)

    assert bits(resumed) == bits(whole["MapDataset"])
    assert len(source.asked) == 2 * COUNT


def test_each_epoch_may_have_an_order_of_its_own(pictures, tmp_path):
    """By a function of its number; also where a training goes on."""
    orders = []

    def data(source):
        def epoch(number):
            source.asked.clear()
            options = grain.ReadOptions(num_threads=0, prefetch_buffer_size=0)
            shuffled = grain.MapDataset.source(source).shuffle(seed=number)
            orders.append((number, source.asked))
            return shuffled.to_iter_dataset(options).batch(SIZE)

        return epoch

    first, second, third = (Noted(pictures) for _ in range(3))
    expected = train(data(first))
    resumed = gone_on(data(second), data(third), STEPS + 2, tmp_path)

    assert [number for number, _ in orders] == [1, 2, 1, 2, 2]
    assert sorted(first.asked) == list(range(COUNT))
    assert third.asked == first.asked[2 * SIZE :]
    one = grain.MapDataset.source(range(COUNT)).shuffle(seed=1)
    assert list(one) != first.asked
    assert bits(resumed) == bits(expected)


def test_a_signal_in_the_test_keeps_the_position_at_the_end(pictures, whole, tmp_path):
    """No batch of the epoch is left then, and none is trained on twice."""

    class Signalling(list):
        def __iter__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            return super().__iter__()

    load = LOADERS["MapDataset"]
    source = Noted(pictures)
    test = list(load(source))
    with pytest.raises(SystemExit):
        train(load(source), test=Signalling(test), checkpoints=tmp_path)

    resumed = train(load(source), test=test, checkpoints=tmp_path)

    assert Folder(tmp_path).steps() == [STEPS, 2 * STEPS]
    assert bits(resumed) == bits(whole["MapDataset"])


def test_no_more_is_read_than_the_loader_holds(pictures, tmp_path):
    """The images of a training need not fit the memory: few are there at a time."""
    source = Noted(pictures)
    few = grain.ReadOptions(num_threads=1, prefetch_buffer_size=3)
    examples = grain.MapDataset.source(source).to_iter_dataset(few)
    with pytest.raises(Stopped):
        train(
            examples.batch(SIZE), checkpoints=Stopping(tmp_path, 2),
            checkpoint_every=1, prefetch=1,
        )  # fmt: skip

    assert 3 * SIZE <= len(source.asked) <= 3 * SIZE + 3 + 1


@pytest.mark.parametrize("prefetch", [0, 1, 2])
def test_batches_are_put_on_the_device_ahead_of_the_step(prefetch):
    """So many, in their order, and none with prefetch=0."""
    given = []

    def batches(epoch):
        for i in range(4):
            given.append(i)
            yield np.full((2, 3), i, np.float32), np.array([0, 1])

    loss = nn.losses.cross_entropy
    feed = Streamed(nn.linear(2), loss, batches, Anywhere(), prefetch=prefetch)
    feed.open(1)

    for i, execution in enumerate(feed.executions(0)):
        images, _ = execution.batch
        assert isinstance(images, jax.Array) == bool(prefetch)
        assert np.asarray(images)[0, 0] == i
        assert len(given) == min(4, i + 1 + prefetch)


class Counting:
    """An iterator over numbers that has a position."""

    def __init__(self, count):
        self.count, self.next = count, 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.next == self.count:
            raise StopIteration
        self.next += 1
        return self.next - 1

    def get_state(self):
        return {"next": self.next}

    def set_state(self, state):
        self.next = state["next"]


class Saying:
    """An iterator that has the state it is told to have, and changes it later."""

    def __init__(self, state=None):
        self.state = state

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration

    def get_state(self):
        return self.state

    def set_state(self, state):
        self.state = state


@given(count=st.integers(0, 9), prefetch=st.integers(0, 12))
def test_a_position_is_that_of_the_batches_given(count, prefetch):
    """However many more were taken from the iterator, and through a file."""
    found = []
    for n, position in ahead(Iteration(Counting(count)), prefetch, int):
        found.append(n)
        again = Iteration(Counting(count), json.loads(json.dumps(position())))
        assert list(again.iterator) == list(range(n + 1, count))
    assert found == list(range(count))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=9,
)  # fmt: skip


@given(st.binary(max_size=40) | st.dictionaries(st.text(max_size=3), plain))
def test_plain_states_come_back_the_same(state):
    """JSON's, and bytes."""
    position = Iteration(Saying(state)).position()
    other = Saying()

    Iteration(other, checked(json.loads(json.dumps(position)))())

    assert other.state == state
    assert type(other.state) is type(state)


def test_a_loader_may_go_on_in_the_state_that_it_gave():
    """As those that hand out their own dict, or change a list in it."""
    loader = Saying({"at": [1]})
    position = Iteration(loader).position()
    loader.state["at"].append(2)
    assert position["state"] == {"at": [1]}


@pytest.mark.parametrize(
    "state",
    [(1, 2), {1: 2}, {"a": float("nan")}, {"a": np.int64(3)}, {"a": b"b"}, object(),
     "x" * MOST, bytes(MOST)],
    ids=lambda state: type(state).__name__,
)  # fmt: skip
def test_other_states_are_not_kept(state):
    """They would come back as something else, or not fit; the batches are replayed."""
    assert Iteration(Saying(state)).position() is None


GOOD = {"length": 6, "form": "json", "state": {"next_index": 3}}


@pytest.mark.parametrize(
    "position",
    [3, [], "x", {}, {**GOOD, "more": 1}, {**GOOD, "form": "pickle"},
     {**GOOD, "form": []}, {**GOOD, "length": "6"}, {**GOOD, "length": True},
     {**GOOD, "form": "base64"}, {**GOOD, "form": "base64", "state": "%%"},
     {**GOOD, "form": "base64", "state": "ä"}, {**GOOD, "state": "x" * MOST}],
)  # fmt: skip
def test_a_position_that_is_none_is_refused(position):
    assert checked(GOOD)() == GOOD
    with pytest.raises(ValueError, match=r"position|base64|padding|ASCII"):
        checked(position)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda s: grain.MapDataset.source(s).shuffle(seed=1).batch(3),
         "data with 6 batches in an epoch, and these have 8"),
        (by_loader, "and these have an unknown number"),
    ],
)  # fmt: skip
def test_other_data_are_not_gone_on_with(pictures, tmp_path, data, message):
    """Where they can be told from the ones before."""
    source = image_folder(pictures, image_size=8)
    with pytest.raises(ValueError, match=message):
        gone_on(LOADERS["MapDataset"](source), data(source), 4, tmp_path)


def test_what_a_loader_refuses_is_said(pictures, tmp_path):
    """grain's DataLoader compares its source with that of the state."""
    other = image_folder(pictures, image_size=8, channels=1)
    with pytest.raises(ValueError, match=r"DataLoaderIterator.set_state says"):
        gone_on(
            by_loader(image_folder(pictures, image_size=8)), by_loader(other), 4,
            tmp_path,
        )  # fmt: skip


def test_what_is_no_data_is_refused(pictures):
    """With what to pass instead."""
    with pytest.raises(ValueError, match=r"single example.*grain.MapDataset"):
        train(image_folder(pictures, image_size=8))
    with pytest.raises(TypeError, match=r"got a Dataset; pass that as data"):
        train(lambda epoch: points())
    with pytest.raises(TypeError, match=r"function of the epoch's number.*got int"):
        train(5)
    for prefetch in (-1, 1.0, True, "1"):
        with pytest.raises(ValueError, match="prefetch must be"):
            train([], prefetch=prefetch)


def test_a_folder_is_learned(pictures):
    """The colors of three classes, from the files to the test accuracy."""
    source = image_folder(pictures, image_size=8)
    batches = grain.MapDataset.source(source).shuffle(seed=0).batch(SIZE)
    net = nn.serial(nn.flatten(), nn.linear(3))
    result = nn.fit(
        net, optax.sgd(0.1), batches, epochs=3, test=batches, progress=False
    )
    assert result.test_accuracy == 1
