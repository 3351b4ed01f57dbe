"""The benchmark: it counts right, times what it says, and survives what it starts."""

import importlib
import json
import math
import os
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lenetjax as nn
from benchmarks import __main__ as command
from benchmarks import report
from benchmarks.agreement import outliers
from benchmarks.bursts import burst, geometric_mean, summary
from benchmarks.flops import per_image
from benchmarks.goals import Goal, goals
from benchmarks.options import parse
from benchmarks.peers import OURS, PEERS
from benchmarks.processes import Failure, Worker
from benchmarks.session import Session
from benchmarks.setup import IMAGES, Setup
from benchmarks.turns import Task, take_turns

# Multiply-adds of LeNet, layer by layer.
CONV1 = 30 * 30 * 6 * 9
CONV2 = 13 * 13 * 16 * 54
DENSE = 576 * 120 + 120 * 84 + 84 * 10


def test_the_arithmetic_of_lenet_is_that_of_a_count_by_hand():
    """Three products for each layer, but no gradient of the images."""
    example = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)

    counted = per_image(nn.models.lenet(), example)

    assert counted.forward == 2 * (CONV1 + CONV2 + DENSE) == 549_312
    assert counted.step == 2 * (2 * CONV1 + 3 * CONV2 + 3 * DENSE) == 1_550_736


def test_the_arithmetic_of_resnet20_is_that_of_a_count_by_hand():
    """9 x 16 x 16 per pixel and layer; half the pixels of a side at twice as many."""
    example = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    same = 9 * 16 * 16 * 32 * 32
    first, last = 9 * 3 * 16 * 32 * 32, 64 * 10
    forward = first + 6 * same + 2 * (same // 2 + 5 * same) + last

    counted = per_image(nn.models.resnet20(), example)

    assert counted == (2 * forward, 2 * (3 * forward - first))


def test_a_summary_is_the_median_and_the_quartiles():
    assert summary([5, 1, 4, 2, 3]) == {"median": 3, "q1": 2, "q3": 4, "rounds": 5}
    assert summary([7.0]) == {"median": 7.0, "q1": 7.0, "q3": 7.0, "rounds": 1}
    assert math.isclose(geometric_mean([1, 4, 16]), 4)


def test_a_burst_times_a_call_and_waits_for_its_end():
    """A call of 5 ms takes 5 ms, also where it returns before it is done."""
    done = burst(lambda number: time.sleep(0.005), lambda result: None, 0.05)
    assert done["calls"] >= 2
    assert 0.005 <= done["seconds"] < 0.05

    waited = []
    done = burst(lambda number: number, waited.append, 1e-9)
    assert done["calls"] == 1
    assert waited[-1] == 0  # the last call that was timed


def of_all(**changed):
    """Losses of three peers, equal but for what is changed."""
    return {"a": [2.0, 1.5], "b": [2.0, 1.5], "c": [2.0, 1.5]} | changed


@pytest.mark.parametrize(
    ("losses", "logits", "exact", "found"),
    [
        ({}, {}, True, []),
        ({"c": [2.0 * (1 + 5e-5), 1.5]}, {}, True, []),
        ({"c": [2.0 * (1 + 5e-4), 1.5]}, {}, True, ["c"]),
        ({"c": [2.0 * (1 + 5e-4), 1.5]}, {}, False, []),
        ({"b": [2.0, 1.6]}, {}, True, ["b"]),
        ({"a": [float("nan"), 1.5]}, {}, True, ["a"]),
        ({}, {"b": [2.0, 1.501]}, True, ["b"]),
        ({}, {"b": [2.0, float("nan")]}, True, ["b"]),
    ],
)
def test_a_peer_that_computes_something_else_is_found(losses, logits, exact, found):
    """By its losses, by its logits, and never for rounding alone."""
    odd = outliers("lenet", of_all(**losses), of_all(**logits), exact=exact)
    assert list(odd) == found


def test_steps_of_a_deep_net_may_drift_but_not_its_first_loss():
    drifted = of_all(c=[2.0, 1.5 * (1 + 1e-3)])
    assert not outliers("resnet20", drifted, of_all())
    assert outliers("lenet", drifted, of_all())["c"] == (
        "its loss at step 2 is 1.501500, that of most peers 1.500000"
    )
    assert outliers("resnet20", of_all(c=[2.002, 1.5]), of_all())


SOON = ["torch", "linen"]  # the others in the long run, which CONTRIBUTING.md tells of
LATER = ["torch channels_last", "stax", "haiku", "nnx", "equinox"]
VARIANTS = [*SOON, *(pytest.param(peer, marks=pytest.mark.variant) for peer in LATER)]
MODELS = ["lenet", pytest.param("lenet5", marks=pytest.mark.variant), "resnet20"]


@pytest.fixture(scope="module", params=MODELS)
def task(request):
    """A small task for all peers, and what lenetjax makes of it."""
    model = request.param
    net = getattr(nn.models, model)()
    example = jax.ShapeDtypeStruct((1, *IMAGES[model]), jnp.float32)
    params, _ = net.init_with_state(jax.random.key(0), example)
    values = {name: np.asarray(value) for name, value in nn.flat(params).items()}
    setup = Setup(model, 3, values)
    return setup, worked(OURS, setup)


def worked(peer, setup):
    """The logits from the first values, and the losses of the first steps."""
    module = importlib.import_module(f"benchmarks.peers.{PEERS[peer].module}")
    with jax.numpy_rank_promotion("allow"):  # stax needs it
        trainer = module.make(setup, PEERS[peer].variant)
        logits = None
        if trainer.can_infer:
            trainer.training(False)
            logits = trainer.numbers(trainer.forward(3))
        trainer.training(True)
        return logits, [trainer.numbers(trainer.step(i)).item() for i in range(3)]


@pytest.mark.filterwarnings("ignore")  # of what the peers use that grows old
@pytest.mark.parametrize("peer", VARIANTS)
def test_a_peer_computes_what_lenetjax_computes(peer, task):
    """The same logits, and the same losses as it learns."""
    setup, (logits, losses) = task
    if why := PEERS[peer].missing():
        pytest.skip(why)
    if peer == "equinox" and setup.model == "resnet20" and jax.config.jax_enable_x64:
        pytest.skip("Equinox has float32 statistics of batch norm for float64 images")

    theirs, their_losses = worked(peer, setup)

    if theirs is not None:
        scale = np.abs(logits).max()
        np.testing.assert_allclose(theirs, logits, rtol=1e-4, atol=1e-4 * scale)
    tolerance = 2e-3 if setup.model == "resnet20" else 1e-5
    np.testing.assert_allclose(their_losses, losses, rtol=tolerance)
    np.testing.assert_allclose(their_losses[0], losses[0], rtol=1e-5)


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setitem(PEERS, "haiku", PEERS["haiku"]._replace(
        packages=(("no_such_module", "no-such-package"),)))  # fmt: skip
    session = Session(parse(["--peers", "stax,haiku"]), tmp_path)

    assert session.installed("jax") == [OURS, "stax"]

    assert session.left_out == [
        {"what": "haiku", "where": "everywhere",
         "why": "no-such-package is not installed"}
    ]  # fmt: skip


# A step at two batches; PyTorch's best is another one at each.
STEPS = {
    32: {OURS: 1.0, "torch": 3.0, "torch channels_last": 2.0, "stax": 6.0},
    64: {OURS: 2.0, "torch": 8.0, "torch channels_last": 9.0, "stax": 6.0},
}


def results(**parts):
    """A run with LeNet's steps, as it is written to a file."""
    rows = [
        {"peer": peer, "model": "lenet", "batch": batch, "median": seconds,
         "q1": seconds, "q3": seconds, "rounds": 1, "gflops": 10 * batch / seconds,
         "images_per_second": batch / seconds, "compile_seconds": 0.5,
         "memory_bytes": None if peer == "stax" else 3_000_000, "losses": [2.3]}
        for batch, times in STEPS.items()
        for peer, seconds in times.items()
    ]  # fmt: skip
    machine = {"cpu": "a processor", "cores": 2, "memory_bytes": 24e9, "system": "OS",
               "device": "cpu", "versions": {"jax": "0.0"}, "date": "today",
               "command": "python -m benchmarks"}  # fmt: skip
    return {
        "platform": "cpu", "precision": "float32", "threads": 2, "rounds": 1,
        "seconds": 0.1, "quick": False, "machine": machine, "left_out": [],
        "errors": [], "flops": {"lenet": {"forward": 1, "step": 1_550_736}},
        "step": rows, "peak": [{"library": "numpy", "size": 512, "gflops": 1600.0}],
        **parts,
    }  # fmt: skip


def test_goals_compare_with_the_fastest_peer_at_each_batch():
    """Twice as fast at one batch and four times at the other: 2.83 in the mean."""
    found = {goal.what: goal for goal in goals(results())}

    mean = found["LeNet step: the best PyTorch / lenetjax, geometric mean"]
    assert math.isclose(mean.value, math.sqrt(2 * 4))
    assert mean.reached is False
    worst = found["LeNet step: the best PyTorch / lenetjax, at every batch"]
    assert (worst.value, worst.reached, worst.note) == (2.0, True, "batch 32")
    share = found["LeNet step: share of the matrix-product peak, at the best batch"]
    assert math.isclose(share.value, 320 / 1600)
    jax_peers = found["LeNet step: the best JAX peer / lenetjax, geometric mean"]
    assert math.isclose(jax_peers.value, math.sqrt(6 * 3))
    assert found["programs that a second run compiles"].reached is None


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal("", 1.0, at_least=1.0), True),
        (Goal("", 0.99, at_least=1.0), False),
        (Goal("", 1.0, at_most=1.0), True),
        (Goal("", 1.01, at_most=1.0), False),
        (Goal("", 0.0, at_most=0.0), True),
        (Goal("", None, at_most=1.0), None),
        (Goal("", 1.0), None),
    ],
)
def test_a_goal_is_reached_or_not_or_not_measured(goal, reached):
    assert goal.reached is reached


def test_the_worst_program_counts_and_the_tiny_net_is_only_shown():
    rows = [
        {"program": "tiny net", "ratio": {"median": 1.4}},
        {"program": "lenet, batch 32", "ratio": {"median": 1.01}},
        {"program": "lenet, batch 64", "ratio": {"median": 1.03}},
    ]
    found = {goal.what: goal for goal in goals(results(overhead=rows))}
    goal = found["train_step / by hand in jax.jit"]
    assert (goal.value, goal.reached, goal.note) == (1.03, False, "lenet, batch 64")


def test_the_table_names_what_was_left_out_and_what_was_not_measured():
    left = {"what": "haiku", "where": "everywhere", "why": "it is not installed"}

    text = report.plain(results(left_out=[left], errors=["stax is wrong"]))

    assert "a processor, 2 cores, 24 GB of memory; OS." in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "lenetjax 1,000 (1.00) 2,000 (1.00) 1.00" in lines
    assert "torch 3,000 (3.00) 8,000 (4.00) 3.46" in lines
    assert "stax 0.50 / - 0.50 / -" in lines
    assert "haiku (everywhere): it is not installed" in lines
    assert "stax is wrong" in lines
    assert any("epoch of MNIST" in line and "not measured" in line for line in lines)


def test_the_report_is_written_anew_from_the_results(tmp_path):
    """The picture is linked where it is, and no GPU is said to have been measured."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "cpu.json").write_text(json.dumps(results()), encoding="utf-8")
    (folder / "cpu.png").touch()

    report.write([folder / "cpu.json"], tmp_path / "RESULTS.md")

    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "](results/cpu.png)" in text
    assert "| torch | 3,000 (3.00) | 8,000 (4.00) | 3.46 |" in text
    assert text.endswith("## GPU\n\nNot measured.\n")
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "stpe"], "there is no 'stpe'; choose from peak, step, forward"),
        (["--peers", "pytorch"], "there is no 'pytorch'"),
        (["--models", ""], "there is no ''"),
        (["--batches", "32,none"], "must be a number of at least 2, got 'none'"),
        (["--rounds", "0"], "must be a number of at least 1, got '0'"),
        (["--threads", "100000"], "must be a number from 1 to"),
        (["--seconds", "-1"], "--seconds must be more than 0 and at most 60, got -1"),
        (["--seconds", "nan"], "--seconds must be more than 0"),
        (["--platform", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_a_slip_ends_with_a_line_that_says_which(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(arguments)

    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_only_a_complete_run_replaces_what_is_published():
    """A shorter run, or one that leaves a peer out, is written elsewhere."""
    assert parse([]).complete
    for option in (
        ["--quick"], ["--only", "step"], ["--peers", "stax"], ["--models", "lenet"],
        ["--batches", "32"],
    ):  # fmt: skip
        assert not parse(option).complete, option


PRODUCTS = {"job": "peak", "library": "numpy", "sizes": [8], "platform": "cpu"}


@pytest.fixture
def worker():
    with Worker(PRODUCTS, {}) as worker:
        yield worker


def ask(worker, timeout=60, **arguments):
    return worker.ask("gflops", timeout, seconds=0.01, size=8, **arguments)


def test_a_process_answers(worker):
    assert ask(worker)["gflops"] > 0


def test_a_process_that_raises_says_what(worker):
    with pytest.raises(Failure, match=r"^TypeError: .*unexpected keyword .*'colour'"):
        ask(worker, colour="red")
    with pytest.raises(Failure, match=r"^ended with status 1"):
        ask(worker)


def test_a_process_that_cannot_start_says_why():
    with pytest.raises(Failure, match=r"^KeyError: 'no such library'"):
        Worker(PRODUCTS | {"library": "no such library", "family": "jax"}, {})


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs POSIX signals")
def test_a_process_that_hangs_or_dies_is_given_up(worker):
    os.kill(worker._process.pid, signal.SIGSTOP)
    with pytest.raises(Failure, match=r"^gave no answer within 0 s"):
        ask(worker, timeout=0.2)

    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(Failure, match=r"^was ended by SIGKILL \(out of memory\?\)"):
        ask(worker)


class Scripted:
    """A process of which only the answers matter: seconds, or a failure."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def ask(self, do, timeout, **arguments):
        self.asked.append((do, arguments))
        answer = self.answers.pop(0)
        if isinstance(answer, str):
            raise Failure(answer)
        return {"seconds": answer}


def test_turns_go_on_without_who_fails():
    """Its times are dropped, it is asked no more, and the others take theirs."""
    good, bad = Scripted(1, 2, 3), Scripted(4, "it broke")
    failed = []

    times = take_turns(
        {"good": good, "bad": bad},
        lambda name: [Task("step", "step", {"batch": 8})],
        rounds=3,
        seconds=0.5,
        failed=lambda name, why: failed.append((name, why)),
    )

    assert times == {("good", "step"): [1, 2, 3]}
    assert failed == [("bad", "it broke")]
    assert bad.asked == [("step", {"batch": 8, "seconds": 0.5})] * 2


@pytest.mark.variant
def test_the_command_measures_and_writes(tmp_path, capsys):
    """From the processes to the file, with a peer that is always there."""
    out = tmp_path / "found.json"
    status = command.main(
        ["--only", "step,forward", "--models", "lenet", "--peers", "stax",
         "--batches", "2", "--rounds", "1", "--seconds", "0.01", "--out", str(out)]
    )  # fmt: skip

    assert status == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert [(row["peer"], row["batch"]) for row in found["step"]] == [
        (OURS, 2), ("stax", 2),
    ]  # fmt: skip
    assert {row["batch"] for row in found["forward"]} == {1, 2}
    assert all(row["median"] > 0 for row in found["step"] + found["forward"])
    ours, stax = (row["losses"] for row in found["step"])
    np.testing.assert_allclose(ours, stax, rtol=1e-5)
    assert "LeNet, training step" in capsys.readouterr().out


@pytest.mark.variant
def test_an_interrupted_run_writes_what_it_has(tmp_path, monkeypatch, capsys):
    """Beside the published results, and with what is missing named."""

    def interrupted(session):
        session.add("peak", {"library": "jax", "size": 8, "gflops": 1.0})
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "published")
    monkeypatch.setitem(command.MEASURES, "peak", interrupted)

    status = command.main([])

    assert status == 130
    found = json.loads((tmp_path / "runs/bench/cpu.json").read_text(encoding="utf-8"))
    assert found["peak"]
    assert not (tmp_path / "published").exists()
    assert "the rest (everywhere): interrupted" in capsys.readouterr().out
