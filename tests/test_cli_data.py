"""The command line on each kind of data, from files in their official formats."""

import importlib
import json
import os

import jax
import numpy as np
import pytest
from data_files import cifar10_archive, small_cifar10, small_mnist, write

import lenetjax as nn
from lenetjax import gallery, options
from lenetjax.cli import main
from lenetjax.commands.nets import OF_IMAGES, OF_TEXT
from lenetjax.commands.sources import SOURCES
from lenetjax.options.shared import MODELS
from lenetjax.options.training import DATA

pytestmark = pytest.mark.usefixtures("kept_programs")

cifar10_files = importlib.import_module("lenetjax.data.cifar10_files")
KINDS = ["fashion-mnist", "cifar10", "text"]


@pytest.fixture(autouse=True)
def few_images_are_enough(monkeypatch):
    """CIFAR-10's files count as whole with three images."""
    monkeypatch.setattr(cifar10_files, "RECORDS", 3)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Where the data of each kind are."""
    folder = tmp_path_factory.mktemp("data")
    files = write(folder / "fashion", small_mnist())
    archive = folder / "cifar-10-binary.tar.gz"
    archive.write_bytes(cifar10_archive(small_cifar10()))
    text = folder / "text.txt"
    text.write_text("".join(f"{n} and {n * n}, " for n in range(200))[:1350])
    return {"fashion-mnist": files, "cifar10": archive, "text": text}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, places):
    """A run of an epoch on each kind."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10_files, "RECORDS", 3)
        for kind, place in places.items():
            model = "char_gru" if kind == "text" else "mlp"
            told = ["--data", kind, "--data-dir", place, "--model", model]
            told += ["--epochs", 1, "--batch-size", 18, "--out", folder / kind]
            assert main(["train", *map(str, told)]) == 0
    return {kind: folder / kind for kind in places}


def said(capsys, *arguments):
    """Runs a command that must work, and returns what it prints."""
    assert main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    """Runs a command that must fail with status 2, and returns its line on stderr."""
    assert main([str(argument) for argument in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    return line


def test_the_options_name_what_is_there():
    """The lists that are shown without importing anything are those of the tables."""
    assert tuple(SOURCES) == DATA
    assert sorted(MODELS) == sorted([*OF_IMAGES, *OF_TEXT])
    defaults = {kind.model for kind in SOURCES.values()}
    assert defaults <= set(MODELS)
    train = options.parser("").parse_args(["train"])
    assert train.model is train.optimizer is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_can_be_evaluated(runs, places, capsys, kind):
    """The accuracy is that of the training; all labels of a text count."""
    row = json.loads((runs[kind] / "metrics.jsonl").read_text())

    shown = said(capsys, "evaluate", runs[kind], "--data-dir", places[kind])

    total = {"fashion-mnist": 5, "cifar10": 3, "text": 128}[kind]
    assert f"test accuracy {row['test_accuracy']:.2%} (" in shown
    assert f" of {total})" in shown
    assert f"test loss {row['test_loss']:.4f}" in shown


@pytest.mark.parametrize(
    ("kind", "example"),
    [
        ("fashion-mnist", "float32[1,32,32,1]"),
        ("cifar10", "float32[1,32,32,3]"),
        ("text", "int32[1,64]"),
    ],
)
def test_a_run_knows_the_shape_of_its_inputs(runs, capsys, kind, example):
    """In the summary, in the graph and in the exported program."""
    assert example in said(capsys, "summary", runs[kind])
    assert "cross_entropy" in said(capsys, "graph", runs[kind])
    program = runs[kind] / "program"
    shown = said(capsys, "export", runs[kind], "--out", program, "--batch-size", 1)
    assert f"{program}: {example} to float32[1," in shown
    assert "fits the net" in said(capsys, "check", runs[kind])


def test_an_exported_net_of_text_gives_what_the_net_gives(runs, places, capsys):
    """For any number of sequences."""
    path = runs["text"] / "model.stablehlo"
    assert "int32[b,64]" in said(capsys, "export", runs["text"])
    run = importlib.import_module("lenetjax.runs").open_run(runs["text"])
    ids = nn.data.text(places["text"], 64, vocabulary=run.vocabulary).data.test.images

    found = jax.export.deserialize(bytearray(path.read_bytes())).call(ids)

    want = nn.predict(run.net, run.params, ids)
    np.testing.assert_allclose(found, want, atol=1e-5)
    assert want.shape == (2, 64, len(run.vocabulary))


def test_figures_of_text_show_no_images(runs, places, tmp_path, capsys, monkeypatch):
    """The others are drawn."""
    monkeypatch.setattr(gallery, "FEW", (2, 3))
    monkeypatch.setattr(gallery, "LANDSCAPE_FLOPS", 0)
    said(
        capsys, "figures", runs["text"], "--data-dir", places["text"], "--out", tmp_path
    )
    assert sorted(os.listdir(tmp_path)) == [
        "activations.png", "gradients.png", "landscape.png", "learning_curve.png",
        "weights.png",
    ]  # fmt: skip
    assert "confusion_matrix.png" not in os.listdir(runs["text"])


@pytest.mark.variant
def test_figures_of_colours(runs, places, tmp_path, capsys):
    """Three channels are no hindrance."""
    said(
        capsys, "figures", runs["cifar10"], "--data-dir", places["cifar10"], "--out",
        tmp_path,
    )  # fmt: skip
    assert {"mistakes.png", "saliency.png"} <= set(os.listdir(tmp_path))


def test_predict_names_clothes(runs, tmp_path, capsys):
    """By their names, not by the numbers of the classes."""
    from PIL import Image

    path = tmp_path / "image.png"
    Image.fromarray(np.arange(784, dtype=np.uint8).reshape(28, 28)).save(path)
    shown = said(capsys, "predict", runs["fashion-mnist"], path)
    assert shown.removeprefix(f"{path}: ").split(" (")[0] in (
        nn.data.FASHION_MNIST_CLASSES
    )


@pytest.mark.parametrize("kind", ["cifar10", "text"])
def test_predict_refuses_nets_of_other_inputs(runs, capsys, kind):
    """It says what the net takes."""
    line = refused(capsys, "predict", runs[kind], "some.png")
    assert "predict reads gray images" in line
    assert f"a net trained on {kind} takes" in line


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("--data text", "text is a file of yours: name it with --data-dir FILE"),
        ("--data text --model lenet", "sees images, and text is characters; give"),
        ("--data digits --model char_gru", "char_gru reads text, and digits is images"),
        ("--data text --data-dir .", "is no regular file; name a text file"),
        ("--data cifar10 --data-dir .", "lacks cifar-10-binary.tar.gz"),
        ("--data fashion-mnist --data-dir .", "lacks train-images-idx3-ubyte"),
    ],
)
def test_what_does_not_go_together_gets_one_line(
    told, reason, capsys, tmp_path, monkeypatch
):
    """Before anything is made for it."""
    monkeypatch.chdir(tmp_path)
    assert reason in refused(capsys, "train", *told.split())
    assert os.listdir(tmp_path) == []


def test_a_text_of_other_characters_is_refused(runs, places, tmp_path, capsys):
    """Ids must mean what they meant in training, also for a run that goes on."""
    other = tmp_path / "other.txt"
    other.write_text(places["text"].read_text().replace("and", "und"))
    line = refused(capsys, "evaluate", runs["text"], "--data-dir", other)
    assert "expected characters of the vocabulary, got 'u' at 2" in line
    told = ["--model", "char_gru", "--epochs", 1, "--batch-size", 18]
    line = refused(
        capsys, "train", "--data", "text", "--data-dir", other, *told,
        "--out", runs["text"],
    )  # fmt: skip
    assert "another configuration (a text of other characters)" in line


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"vocabulary": "aab"}, "its vocabulary is no text with each character once"),
        ({"vocabulary": ["a", "b"]}, "its vocabulary is no text"),
        ({"dtype": "float64"}, "its dtype is float32 or int32, not 'float64'"),
        ({"dtype": ["int32"]}, "its dtype is float32 or int32"),
        ({"image_shape": [64, 64]}, "no net"),
    ],
)
def test_a_hostile_configuration_gets_one_line(
    runs, places, tmp_path, capsys, change, reason
):
    """What a run says of its inputs is checked when it is read."""
    config = json.loads((runs["text"] / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    os.link(runs["text"] / "model.safetensors", tmp_path / "model.safetensors")
    line = refused(capsys, "evaluate", tmp_path, "--data-dir", places["text"])
    assert reason in line


def test_runs_of_old_are_read(runs, places, tmp_path, capsys):
    """Their configuration has no dtype, as all were of images."""
    config = json.loads((runs["fashion-mnist"] / "config.json").read_text())
    assert config.pop("dtype") == "float32"
    assert "vocabulary" not in config
    (tmp_path / "config.json").write_text(json.dumps(config))
    os.link(runs["fashion-mnist"] / "model.safetensors", tmp_path / "model.safetensors")
    place = places["fashion-mnist"]
    assert "of 5)" in said(capsys, "evaluate", tmp_path, "--data-dir", place)


def test_check_knows_the_files_of_cifar10(places, tmp_path, capsys):
    """The archive and the folder; what is damaged has status 1."""
    assert "CIFAR-10, 18 images" in said(capsys, "check", places["cifar10"])
    for name, content in small_cifar10().items():
        (tmp_path / name).write_bytes(content)
    assert "CIFAR-10, 18 images" in said(capsys, "check", tmp_path)
    (tmp_path / "test_batch.bin").write_bytes(b"")
    assert main(["check", str(tmp_path)]) == 1
    assert "expected 9219 bytes" in capsys.readouterr().err
