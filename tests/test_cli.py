"""The command line, run as a user runs it."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import lenetjax as nn
from lenetjax.cli import main

METRICS = [
    "epoch", "step", "train_loss", "train_accuracy", "test_loss", "test_accuracy",
    "seconds", "images_per_second",
]  # fmt: skip


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run of two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "a run"
    assert main(["train", "--epochs", "2", "--model", "mlp", "--out", str(folder)]) == 0
    return folder


def write_digit(path, *, dark_ink=True):
    from PIL import Image

    image = nn.data.digits(image_size=32).test.images[0, :, :, 0] * 255
    Image.fromarray((255 - image if dark_ink else image).astype(np.uint8)).save(path)
    return path


def metrics_of(folder):
    return (folder / "metrics.jsonl").read_text().splitlines()


def refused(capsys, *arguments):
    """Runs a command that must fail with status 2, and returns its line on stderr."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    shown = capsys.readouterr()
    assert status == 2
    assert shown.out == ""
    lines = shown.err.splitlines()
    assert len(lines) == 1
    assert "Traceback" not in shown.err
    return lines[0]


def test_a_run_leaves_its_files(run_dir):
    """Weights, configuration, a line of metrics per epoch, and two pictures."""
    rows = [json.loads(line) for line in metrics_of(run_dir)]
    config = json.loads((run_dir / "config.json").read_text())

    assert sorted(os.listdir(run_dir)) == [
        "config.json", "confusion_matrix.png", "learning_curve.png",
        "metrics.jsonl", "model.safetensors",
    ]  # fmt: skip
    assert [list(row) for row in rows] == [METRICS, METRICS]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert config["training"]["epochs"] == 2
    assert str(run_dir) not in (run_dir / "config.json").read_text()
    for picture in ("confusion_matrix.png", "learning_curve.png"):
        assert (run_dir / picture).read_bytes().startswith(b"\x89PNG")


def test_evaluate_finds_the_accuracy_of_the_run(run_dir, capsys):
    """The weights on disk are those that were tested last."""
    rows = [json.loads(line) for line in metrics_of(run_dir)]

    assert main(["evaluate", str(run_dir)]) == 0

    shown = capsys.readouterr().out
    assert f"test accuracy {rows[-1]['test_accuracy']:.2%}" in shown
    assert "of 360" in shown


def test_predict_reads_image_files(run_dir, tmp_path, capsys):
    """A digit and its probability for each file; ink may be dark or light."""
    dark = write_digit(tmp_path / "dark.png")
    light = write_digit(tmp_path / "light.png", dark_ink=False)

    assert main(["predict", str(run_dir), str(dark), str(light)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(dark), str(light)]
    assert lines[0].split(": ")[1] == lines[1].split(": ")[1]
    assert lines[0].endswith("%)")


def test_predict_goes_on_past_a_bad_file(run_dir, tmp_path, capsys):
    """The others are read, and the exit status says that one was not."""
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    good = write_digit(tmp_path / "good.png")

    assert main(["predict", str(run_dir), str(bad), str(good)]) == 1

    shown = capsys.readouterr()
    assert str(good) in shown.out
    assert "bad.png" in shown.err


def test_predict_refuses_what_is_no_image(run_dir, tmp_path, capsys):
    """One line that names the file, exit status 2."""
    bad = tmp_path / "bad.png"
    bad.write_text("no image")

    assert "bad.png" in refused(capsys, "predict", run_dir, bad)
    assert "none.png" in refused(capsys, "predict", run_dir, tmp_path / "none.png")


def test_summary_lists_the_layers(capsys):
    """The table of the tutorial's net, for one image."""
    assert main(["summary"]) == 0

    shown = capsys.readouterr().out
    assert "81,194" in shown
    assert "549,312" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--epochs", "0"], "--epochs: must be at least 1"),
        (["train", "--epochs", "two"], "--epochs: invalid int value: 'two'"),
        (["train", "--batch-size", "-3"], "--batch-size"),
        (["train", "--learning-rate", "nan"], "--learning-rate: must be a positive"),
        (["train", "--momentum", "1"], "--momentum: must be from 0 up to 1"),
        (["train", "--seed", "-1"], "--seed: must be from 0"),
        (["train", "--optimizer", "sdg"], "invalid choice: 'sdg'"),
        (["train", "--optimizr", "sgd"], "unrecognized arguments: --optimizr"),
        (
            ["train", "--optimizer", "adam", "--momentum", "0.5"],
            "adam has no --momentum",
        ),
        (["train", "--data", "mnist", "--data-dir", "nowhere"], "nowhere"),
        (["evaluate", "nowhere"], "nowhere"),
        (["predict", "nowhere", "a.png"], "nowhere"),
        (["predict"], "RUN_DIR"),
        (["tarin"], "invalid choice: 'tarin'"),
        ([], "COMMAND"),
    ],
)
def test_slips_get_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    """A wrong option or a missing file: one line on stderr, exit status 2."""
    monkeypatch.chdir(tmp_path)

    assert said in refused(capsys, *arguments)
    assert os.listdir(tmp_path) == []


def test_a_run_is_never_overwritten(run_dir, capsys):
    """An --out that holds a run is refused, and the run stays."""
    before = (run_dir / "model.safetensors").read_bytes()

    line = refused(capsys, "train", "--epochs", "1", "--out", run_dir)

    assert "holds a run already" in line
    assert (run_dir / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", '{"format": 1}'),
        ("config.json", '{"format": 1, "net": {"kind": "x"}, "image_shape": [1]}'),
        ("model.safetensors", "no weights"),
    ],
)
def test_a_damaged_run_gets_one_line(run_dir, tmp_path, capsys, name, content):
    """A run folder that holds something else is refused by the file's name."""
    for original in run_dir.iterdir():
        (tmp_path / original.name).write_bytes(original.read_bytes())
    (tmp_path / name).write_text(content)

    assert name in refused(capsys, "evaluate", tmp_path)


def test_an_interrupted_run_keeps_its_last_epoch(tmp_path, capsys):
    """Ctrl-C: one line, exit status 130, and the weights so far can be used."""
    folder = tmp_path / "run"
    arguments = ["train", "--epochs", "10000", "--model", "mlp", "--out", str(folder)]
    program = (
        "import signal, sys; from lenetjax.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.exit(main({arguments!r}))"
    )
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", program], stderr=subprocess.PIPE, text=True
    ) as run:
        for line in run.stderr:
            if line.startswith("epoch   2/"):
                run.send_signal(signal.SIGINT)
                break
        last = run.stderr.read().splitlines()[-1]

    assert run.returncode == 130
    assert last == "lenetjax train: interrupted"
    assert main(["evaluate", str(folder)]) == 0
    assert "test accuracy" in capsys.readouterr().out


def test_help_answers_without_jax():
    """--help is quick since neither jax nor numpy is imported for it."""
    code = (
        "import sys; from lenetjax.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'jax', 'numpy', 'optax'} & set(sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)  # noqa: S603

    assert done.returncode == 0, done.stderr
    assert "--optimizer" in done.stdout


def test_python_m_is_the_same_program(tmp_path):
    """``python -m lenetjax`` runs from any folder, on the platform asked for."""
    done = subprocess.run(
        [sys.executable, "-m", "lenetjax", "summary", "--platform", "cpu"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert "81,194" in done.stdout
