"""The note on scaling: its formulas, its counts, and that its page is up to date."""

import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from documents import read
from hypothesis import given
from hypothesis import strategies as st

import lenetjax as nn
from benchmarks.collectives import collectives
from benchmarks.processes import Worker
from benchmarks.scaling.__main__ import BLOCK, PAGE, rewritten
from benchmarks.scaling.events import simulate
from benchmarks.scaling.links import all_reduce, ring, tree
from benchmarks.scaling.machines import (
    LENET_H200,
    Link,
    Machine,
    calibrated,
    machines,
    published,
    roofline,
)
from benchmarks.scaling.nets import Net, Part, all_nets
from benchmarks.scaling.steps import (
    counts,
    fastest,
    images_for_each,
    pays_up_to,
    step,
    strong,
    weak,
)
from benchmarks.scaling.tables import BATCHES, blocks, changed

NETS = all_nets()
LENET, RESNET, *_ = NETS
MACHINES = machines(LENET)
GPU, TPU, CORES = MACHINES

nets = st.sampled_from([*NETS, RESNET.with_own_norms()])
sizes = st.floats(1, 1e9)
devices = st.sampled_from(counts(1024))
links = st.builds(Link, st.floats(1e6, 1e12), st.floats(0, 1e-3), st.booleans())
made_machines = st.builds(
    lambda layer, slowness, start, inner, outer: Machine(
        "made", 1e12, 1e11, layer, slowness, start, ((8, inner), (128, outer))
    ),
    st.floats(0, 1e-3), st.floats(1, 100), st.floats(0, 1e-4), links, links,
)  # fmt: skip
some_machines = st.one_of(st.sampled_from([GPU, CORES]), made_machines)


def test_the_nets_are_counted():
    """As `nn.summary` counts them, and a step as `benchmarks.flops` does."""
    for net, layer, channels in (
        (LENET, nn.models.lenet(), 1),
        (RESNET, nn.models.resnet20(), 3),
    ):
        image = jnp.zeros((1, 32, 32, channels))
        summary = nn.summary(layer, image)
        assert net.gradients == 4 * summary.total("params")
        assert sum(part.flops for part in net.parts) == summary.total("flops")
    assert (LENET.gradients, LENET.flops) == (4 * 81_194, 1_550_736)
    assert RESNET.norms == (64,) * 7 + (128,) * 6 + (256,) * 6
    assert RESNET.products == 20


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_ring_takes_as_long_as_one_that_runs(count):
    """Everyone passes a part on until all have the sum; each turn takes a message."""
    arrays = np.random.default_rng(0).normal(size=(count, count, 5))
    total = arrays.sum(0)
    link, seconds = Link(1e9, 1e-6), 0.0
    for turn in range(2 * (count - 1)):
        sent = {}
        for me in range(count):
            place = (me - turn) % count
            sent[(me + 1) % count] = place, arrays[me, place].copy()
        for to, (place, part) in sent.items():
            adds = turn < count - 1
            arrays[to, place] = part + arrays[to, place] * adds
        seconds += link.latency + part.nbytes / link.bandwidth

    np.testing.assert_allclose(arrays, np.broadcast_to(total, arrays.shape))
    assert math.isclose(ring(total.nbytes, count, link), seconds, abs_tol=1e-15)


def test_an_all_reduce_by_hand():
    """4 GPUs: 6 turns of a quarter; 16: 14 turns of an eighth, 2 of it; or trees."""
    size = 8e9
    alone = 6.6e-6 + 6 * (2e9 / 450e9 + 0.6e-6)
    assert math.isclose(all_reduce(size, 4, GPU), alone)
    hosts = 6.6e-6 + 14 * (1e9 / 450e9 + 0.6e-6) + 2 * (0.5e9 / 50e9 + 2.7e-6)
    assert math.isclose(all_reduce(size, 16, GPU), hosts)
    small = 6.6e-6 + 2 * (3 * 0.6e-6 + 7 * 2.7e-6)
    assert math.isclose(all_reduce(0, 1024, GPU), small)
    assert math.isclose(all_reduce(0, 256, TPU), 2 * 30 * 0.5e-6)  # no trees there
    assert tree(size, 1, TPU.levels[0][1]) == 0


@given(sizes, devices, some_machines)
def test_no_all_reduce_beats_what_it_needs(size, count, machine):
    """Everyone must send 2 (n - 1) / n of it, and hear of n others by doublings.

    Reference: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms", 2009.
    """
    seconds = all_reduce(size, count, machine)
    bandwidth = max(link.bandwidth for _, link in machine.levels)
    latency = min(link.latency for _, link in machine.levels)
    least = 2 * (count - 1) / count * size / bandwidth
    assert seconds >= least * (1 - 1e-9)
    assert seconds >= 2 * math.log2(count) * latency * (1 - 1e-9)


@given(sizes, devices, some_machines, st.floats(1, 100))
def test_an_all_reduce_grows_with_size_latency_and_devices(size, count, machine, more):
    seconds = all_reduce(size, count, machine)
    worse = [
        all_reduce(size * more, count, machine),
        all_reduce(size, count, changed(machine, latency=more)),
        all_reduce(size, count, changed(machine, bandwidth=1 / more)),
        all_reduce(size, min(1024, 2 * count), machine),
    ]
    assert min(worse) >= seconds * (1 - 1e-9)
    assert all_reduce(size, 1, machine) == 0


@pytest.mark.parametrize("count", [0, 3, 12, 512])
def test_other_counts_of_devices_are_refused(count):
    with pytest.raises(ValueError, match=f"power of two up to 256, got {count}"):
        all_reduce(1, count, TPU)


@given(nets, some_machines, st.sampled_from(BATCHES))
def test_devices_that_communicate_for_nothing_share_all_but_overhead(
    net, machine, batch
):
    ideal = changed(machine, bandwidth=math.inf, latency=0)
    alone = step(net, machine, 1, batch)
    assert alone.gradients == alone.norms == 0
    assert alone.images == batch * machine.slowness * roofline(
        net, machine.peak, machine.memory
    )
    for count, seconds in strong(net, ideal._replace(layer=0), batch).items():
        assert math.isclose(seconds * count, alone.images)
    for seconds in weak(net, ideal, batch).values():
        assert math.isclose(seconds, alone.seconds)


@given(nets, some_machines, st.sampled_from(BATCHES))
def test_no_gain_exceeds_the_devices(net, machine, batch):
    found = strong(net, machine, batch)
    hidden = strong(net, machine, batch, overlapped=True)
    for count, seconds in found.items():
        assert found[1] / seconds <= count * (1 + 1e-9)
        assert step(net, machine, count, batch).overhead <= hidden[count] <= seconds
    apart = list(weak(net, machine, batch).values())
    assert all(a <= b * (1 + 1e-9) for a, b in pairwise(apart))


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=8))
def test_where_it_stops_paying(times):
    """The first doubling that gives less than 1.5, whatever follows."""
    seconds = dict(zip(counts(2 ** (len(times) - 1)), times, strict=True))
    last = pays_up_to(seconds)
    gains = [seconds[n] / seconds[2 * n] for n in seconds if 2 * n in seconds]
    paid = int(math.log2(last))
    assert all(gain >= 1.5 for gain in gains[:paid])
    assert paid == len(gains) or gains[paid] < 1.5
    assert seconds[fastest(seconds)] == min(times)


@pytest.mark.parametrize(
    ("times", "last"), [([3, 2.1, 1], 1), ([3, 2, 1.4], 2), ([4, 2, 1], 4), ([1], 1)]
)
def test_the_last_count_that_pays(times, last):
    assert pays_up_to(dict(zip(counts(1024), times, strict=False))) == last


@given(nets, some_machines, st.sampled_from(counts(512)))
def test_the_images_that_each_needs_are_where_it_stops(net, machine, count):
    needed = images_for_each(net, machine, count)

    def gain(images):
        few, more = (
            step(net, machine, n, images * count).seconds for n in (count, 2 * count)
        )
        return few / more

    assert gain(needed * 1.01 + 1e-3) >= 1.5
    assert needed == 0 or gain(needed * 0.99) < 1.5


@given(nets, some_machines, devices, st.sampled_from(BATCHES), st.floats(0, 1e7))
def test_the_events_agree_with_the_formulas(net, machine, count, batch, bucket):
    """One bucket is the sum; any buckets take no less than the bound."""
    net = net.with_own_norms()
    apart = step(net, machine, count, batch).seconds
    bound = step(net, machine, count, batch, overlapped=True).seconds
    assert math.isclose(simulate(net, machine, count, batch, math.inf), apart)
    assert simulate(net, machine, count, batch, bucket) >= bound * (1 - 1e-9)
    ideal = changed(machine, bandwidth=math.inf, latency=0)
    alone = step(net, machine, 1, batch / count).seconds
    assert math.isclose(simulate(net, ideal, count, batch, bucket), alone)


@pytest.mark.parametrize("size", [1_000, 1_000_000_000])
def test_the_events_of_equal_layers(size):
    """The slower of computing and sending sets the pace, the other one adds an end."""
    net = Net("equal", (Part(size, 10),) * 6, 60, 0, ())
    arithmetic = step(net, GPU, 8, 800).seconds - all_reduce(6 * size, 8, GPU)
    computes, sends = arithmetic * 2 / 3 / 6, all_reduce(size, 8, GPU)
    expected = arithmetic / 3 + computes + 5 * max(computes, sends) + sends
    assert math.isclose(simulate(net, GPU, 8, 800, 0), expected)


def test_the_bound_of_gradients_that_travel_early_is_reached():
    """By a net whose last layer has all params and no arithmetic."""
    net = Net("late", (Part(0, 10), Part(10**8, 0)), 10, 0, ())
    for images in (8, 8_000_000):
        bound = step(net, GPU, 8, images, overlapped=True).seconds
        assert math.isclose(simulate(net, GPU, 8, images, 0), bound)


def test_a_machine_is_calibrated_by_the_line_through_its_steps():
    steps = {batch: 1e-3 + 2e-6 * batch for batch in (64, 256, 1024)}
    layer, slowness = calibrated(LENET, steps, 1e12, 1e12)
    assert math.isclose(layer, 1e-3 / 5, rel_tol=1e-6)
    assert math.isclose(slowness, 2e-6 / roofline(LENET, 1e12, 1e12), rel_tol=1e-6)


def test_the_gpu_was_measured():
    """Its steps are those in NOTES.md."""
    cells = " | ".join(f"{seconds * 1e6:.0f}" for seconds in LENET_H200.values())
    notes = read(PAGE.parents[1] / "benchmarks" / "NOTES.md")
    assert f"| Both (kept) | | {cells} |" in notes


def test_the_paper_foretells_a_net_that_it_has_not_seen():
    """ResNet-20 on two cores, from LeNet's steps, within a factor of 1.5."""
    for row in published("cpu")["step"]:
        if row["model"] == "resnet20" and row["peer"] == "lenetjax":
            on_paper = step(RESNET, CORES, 1, row["batch"]).seconds
            assert 2 / 3 < on_paper / row["median"] < 3 / 2


def test_the_page_is_up_to_date():
    """Else: python -m benchmarks.scaling."""
    made = blocks(NETS, MACHINES)
    page = read(PAGE)
    assert sorted(name for _, name, _ in BLOCK.findall(page)) == sorted(made)
    assert rewritten(page, made) == page
    for picture in ("limits", "shares"):
        assert (PAGE.parent / f"scaling_{picture}.png").is_file()


def test_the_command_writes_the_page_and_its_pictures(tmp_path, capsys):
    from benchmarks.scaling.__main__ import main

    page = tmp_path / "page.md"
    page.write_text("Before\n<!-- nets: made -->\n<!-- end -->\nAfter\n")
    assert main(["--page", str(page)]) == 0
    assert "| LeNet | 324,776 |" in page.read_text()
    assert page.read_text().endswith("<!-- end -->\nAfter\n")
    assert len(list(tmp_path.glob("*.png"))) == 2
    page.write_text("<!-- no such: made -->\n<!-- end -->\n")
    with pytest.raises(KeyError, match="no such"):
        main(["--page", str(page)])


def test_what_the_page_says_of_bandwidth_holds():
    """Without limit, it moves no limit by more than a doubling."""
    endless = changed(GPU, bandwidth=math.inf)
    for net in (LENET, RESNET, RESNET.with_own_norms()):
        for batch in BATCHES:
            now, then = (
                pays_up_to(strong(net, machine, batch)) for machine in (GPU, endless)
            )
            assert now <= then <= 2 * now


def test_collectives_are_read_from_a_program():
    text = """
      %a.1 = (f32[6]{0}, f32[3,3,1,6]{3,2,1,0}, /*index=2*/f32[]) all-reduce(%x, %y, %z)
      ROOT %b = bf16[4,2]{0,1} all-gather(%c), metadata={op_name="all-reduce(1)"}
      %d = pred[5]{0} all-reduce(%e)
      %f = f32[2]{0} fusion(%a.1), calls=%all-reduce.5
    """
    found = {"all-reduce": [4 * (6 + 54 + 1), 5], "all-gather": [16]}
    assert collectives(text) == found


def job(**spec):
    """A worker with two emulated devices."""
    told = {"job": "devices", "family": "jax", "platform": "cpu", "devices": 2, **spec}
    variables = ("JAX_ENABLE_COMPILATION_CACHE", "0"), ("JAX_PLATFORMS", "cpu")
    quickly = ("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    return Worker(told, dict([*variables, quickly]))


@pytest.mark.compiled
def test_a_split_step_communicates_what_the_paper_says():
    """Gradients and two metrics in one all-reduce, half of the FLOPs; the same step."""
    with job(model="lenet", batch=16, way="shard_map") as worker:
        found, losses = worker.greeting, worker.ask("losses", count=3)["losses"]
    assert found["collectives"] == {"all-reduce": [LENET.gradients + 2 * 4]}
    assert 1 < found["flops"] / (8 * LENET.flops) < 1.2

    random = np.random.default_rng(0)
    images = random.normal(size=(16, 32, 32, 1)).astype("float32")
    labels = random.integers(0, 10, 16).astype("int32")
    net, optimizer = nn.models.lenet(), optax.sgd(0.01, momentum=0.9)
    run = nn.train_state(net, optimizer, jax.random.key(0), images[:1])
    train_step = nn.train_step(net, optimizer)
    alone = []
    for _ in losses:
        run, metrics = train_step(run, (images, labels))
        alone.append(float(metrics["loss"]))
    np.testing.assert_allclose(losses, alone, rtol=1e-5)
    assert alone[0] > alone[-1]


@pytest.mark.compiled
@pytest.mark.variant  # the published counts say it of ResNet-20
def test_batch_norms_over_the_batch_communicate_as_often_as_the_paper_says():
    """ResNet of 8 layers has 7: five all-reduces each, beside the gradients'."""
    with job(model="resnet", arguments=[8], batch=4, way="fit") as worker:
        reductions = worker.greeting["collectives"]["all-reduce"]
    norms = RESNET.norms[:7]
    assert len(reductions) == RESNET._replace(norms=norms).norm_reductions + 1 == 36


def test_the_published_counts_are_those_of_the_paper():
    for row in published("devices")["devices"]:
        net = {"lenet": LENET, "resnet20": RESNET}[row["model"]]
        reduced = row["collectives"].get("all-reduce")
        if row["way"] == "shard_map":
            averages = 2 * sum(net.norms)
            assert reduced == {"count": 1, "bytes": net.gradients + averages + 8}
            # XLA leaves out products with padding, and counts additions and the like.
            assert 0.9 < row["flops"] / (row["for_each"] * net.flops) < 1.2
        elif row["devices"] > 1:
            assert row["collectives"].keys() == {"all-reduce"}
            assert reduced["count"] == net.norm_reductions + 1
