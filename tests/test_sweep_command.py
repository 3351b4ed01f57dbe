"""lenetjax sweep, run as a user runs it."""

import json
import os

import pytest
from test_cli import metrics_of, refused

from lenetjax.cli import main

pytestmark = pytest.mark.usefixtures("kept_programs")

SHORT = ["--model", "mlp", "--epochs", "1", "--batch-size", "256"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The folder of a sweep of two rates and two seeds, and what it printed."""
    folder = tmp_path_factory.mktemp("sweeps") / "a sweep"
    arguments = ["--learning-rates", "0.2,0.0001", "--momentums", "0.5"]
    given = ["sweep", *SHORT, *arguments, "--seeds", "2", "--out", str(folder)]
    assert main(given) == 0
    return folder


def test_it_leaves_the_ranking_the_curves_and_the_best(swept):
    """A line for each member, best first, and a run's folder."""
    rows = [
        json.loads(line)
        for line in (swept / "sweep.jsonl").read_text().split("\n")[:-1]
    ]

    assert sorted(os.listdir(swept)) == ["best", "curves.png", "sweep.jsonl"]
    assert (swept / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    given = [(row["learning_rate"], row["momentum"], row["seed"]) for row in rows]
    assert sorted(given) == [(r, 0.5, s) for r in (0.0001, 0.2) for s in (0, 1)]
    assert [rate for rate, _, _ in given] == [0.2, 0.2, 0.0001, 0.0001]
    config = json.loads((swept / "best" / "config.json").read_text())
    assert config["training"]["learning_rate"] == 0.2
    assert config["training"]["seed"] == given[0][2]
    (line,) = metrics_of(swept / "best")
    assert json.loads(line) == rows[0]["history"][0]


def test_the_best_is_a_run_that_evaluate_reads(swept, capsys):
    """Its weights on disk are those that were tested."""
    row = json.loads((swept / "sweep.jsonl").read_text().splitlines()[0])

    assert main(["evaluate", str(swept / "best")]) == 0

    assert f"test accuracy {row['test_accuracy']:.2%}" in capsys.readouterr().out


@pytest.mark.variant
def test_train_ends_where_the_best_did(swept, tmp_path):
    """With its options, lenetjax train makes the same net of the same numbers."""
    row = json.loads((swept / "sweep.jsonl").read_text().splitlines()[0])
    given = ["--learning-rate", "0.2", "--momentum", "0.5", "--seed", str(row["seed"])]
    assert main(["train", *SHORT, *given, "--out", str(tmp_path / "run")]) == 0

    (line,) = metrics_of(tmp_path / "run")
    expected = json.loads(line)
    for name, value in row["history"][0].items():
        assert value == pytest.approx(expected[name], rel=1e-3)


def test_it_prints_the_ranking(tmp_path, capsys):
    """The table on stdout; where all diverge, status 1 and no best."""
    given = ["--learning-rates", "1e30", "--optimizer", "adam", "--out", str(tmp_path)]
    assert main(["sweep", *SHORT, *given]) == 1

    out, err = capsys.readouterr()
    heading, member, *_, saved = out.splitlines()
    assert heading.split() == [
        "rank", "learning_rate", "seed", "test", "accuracy", "test", "loss",
        "train", "loss",
    ]  # fmt: skip
    assert "diverged at step " in member
    assert saved == f"saved in {tmp_path}"
    first, *_, last = err.splitlines()
    assert first.startswith("mlp on digits, 1 to train at once: 1,437 images")
    assert last.startswith("lenetjax sweep: the loss of every member")
    assert sorted(os.listdir(tmp_path)) == ["curves.png", "sweep.jsonl"]


def test_slips_are_refused(swept, capsys):
    """One line, status 2."""
    rates = ["--learning-rates", "0.1"]
    again = refused(capsys, "sweep", *SHORT, *rates, "--out", swept)
    assert "holds a sweep already (sweep.jsonl, best)" in again
    adam = ["--optimizer", "adam", "--momentums", "0.5"]
    assert "adam has no --momentums" in refused(capsys, "sweep", *rates, *adam)
    for wrong in ("", "0.1,", "0.1,-1", "a"):
        said = refused(capsys, "sweep", "--learning-rates", wrong)
        assert "argument --learning-rates" in said
