"""The command line, run as a user runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec

import jax
import numpy as np
import pytest

import lenetjax as nn
from lenetjax import gallery, runs
from lenetjax.cli import main
from lenetjax.locks import locked

pytestmark = pytest.mark.usefixtures("kept_programs")

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
    return failed(capsys, 2, *arguments)


def failed(capsys, expected, *arguments):
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    shown = capsys.readouterr()
    assert status == expected
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
        "checkpoints", "config.json", "confusion_matrix.png", "learning_curve.png",
        "metrics.jsonl", "model.safetensors",
    ]  # fmt: skip
    steps = rows[0]["step"], rows[1]["step"]
    assert nn.checkpoint.Folder(run_dir / "checkpoints").steps() == list(steps)
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
    """One line that names the file, exit status 1."""
    bad = tmp_path / "bad.png"
    bad.write_text("no image")

    assert "bad.png" in failed(capsys, 1, "predict", run_dir, bad)
    assert "none.png" in failed(capsys, 1, "predict", run_dir, tmp_path / "none.png")


ALWAYS = [
    "activations", "confusion_matrix", "gradients", "landscape", "learning_curve",
    "mistakes", "saliency", "weights",
]  # fmt: skip
OF_CONVOLUTIONS = [
    "class_activation", "feature_maps_conv1", "feature_maps_conv2", "filters"
]  # fmt: skip


def drawn_in(folder):
    """The names of the pictures in a folder that holds nothing else."""
    for path in folder.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.suffix == ".png"
    return sorted(path.stem for path in folder.iterdir())


def test_figures_draws_what_makes_sense_for_the_net(run_dir, tmp_path, capsys):
    """Without convolutions no filters; a path for each picture; the run stays."""
    before = contents(run_dir)
    folder = tmp_path / "some" / "pictures"

    assert main(["figures", str(run_dir), "--out", str(folder)]) == 0

    assert drawn_in(folder) == ALWAYS
    printed = capsys.readouterr().out.splitlines()
    assert sorted(printed) == [str(folder / f"{name}.png") for name in ALWAYS]
    assert contents(run_dir) == before


def test_figures_of_a_lenet_stand_in_its_run(tmp_path, monkeypatch):
    """With filters, maps of each convolution and class activation."""
    monkeypatch.setattr(gallery, "LANDSCAPE_FLOPS", 0)  # a landscape of few points
    folder = tmp_path / "run"
    train = ["train", "--epochs", "1", "--batch-size", "256", "--out", str(folder)]
    assert main(train) == 0

    assert main(["figures", str(folder)]) == 0

    assert drawn_in(folder / "figures") == sorted(ALWAYS + OF_CONVOLUTIONS)
    assert main(["check", str(folder)]) == 0
    assert main(train) == 0  # finds it finished, and leaves the pictures


def test_figures_refuses_what_it_cannot_draw(run_dir, tmp_path, capsys, monkeypatch):
    """One line: no run, no weights, no folder to write to, no matplotlib."""
    assert "nowhere" in refused(capsys, "figures", tmp_path / "nowhere")
    file = tmp_path / "file"
    file.write_text("")
    assert str(file) in refused(capsys, "figures", run_dir, "--out", file)
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    (folder / "metrics.jsonl").write_text("no json")
    assert "metrics.jsonl is damaged" in refused(capsys, "figures", folder)
    (folder / "model.safetensors").unlink()
    assert "model.safetensors" in refused(capsys, "figures", folder)
    assert not (folder / "figures").exists()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install" in refused(capsys, "figures", run_dir)


def test_summary_lists_the_layers(capsys):
    """The table of the tutorial's net, for one image."""
    assert main(["summary"]) == 0

    shown = capsys.readouterr().out
    assert "81,194" in shown
    assert "549,312" in shown


@pytest.mark.parametrize(
    ("model", "params"),
    [("resnet18", 11_172_810), ("vgg", 2_310_986), ("vit", 305_866)],
)
def test_summary_knows_every_net(model, params, capsys):
    """Of ten classes and one channel; resnet18 is the one for small images."""
    assert main(["summary", "--model", model]) == 0
    assert f"{params:,}" in capsys.readouterr().out.splitlines()[-1]


def test_summary_in_other_forms(capsys):
    """The same rows as JSON, and as a table of HTML."""
    assert main(["summary", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert sum(row["flops"] for row in rows) == 549_312

    assert main(["summary", "--format", "html"]) == 0
    assert "<td" in capsys.readouterr().out


@pytest.mark.compiled
def test_summary_tells_the_memory_of_a_batch(run_dir, capsys):
    """With the optimizer of the run; as text, HTML and JSON."""
    arguments = ["summary", str(run_dir), "--batch-size", "16", "--memory"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert main([*arguments, "--format", "html"]) == 0
    page = capsys.readouterr().out
    assert main([*arguments, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)

    memory, params = found["memory"], sum(row["params"] for row in found["rows"])
    assert found["input"] == memory["input"] == "float32[16,32,32,1]"
    assert memory["params"] == 4 * params
    assert memory["optimizer"] == 4 * params + 4  # momentum, and a count of steps
    total = f" {memory['training']['total']:,}\n"
    assert total in text
    assert total in page


@pytest.mark.compiled
def test_train_computes_in_float16_and_gathers_batches(tmp_path, capsys):
    """The run goes on with the same options alone, and its net is the one trained."""
    out = str(tmp_path / "run")
    same = ["train", "--model", "mlp", "--epochs", "1", "--out", out]
    same += ["--batch-size", "479"]  # three batches
    options = ["--precision", "float16", "--accumulate-grad-batches", "2"]

    assert main([*same, *options]) == 0

    capsys.readouterr()
    line = refused(capsys, *same)
    assert "accumulate_grad_batches 2 there, 1 here" in line
    assert "precision float16 there, float32 here" in line
    assert main(["summary", out]) == 0
    assert "float16[1,256]" in capsys.readouterr().out
    folder = nn.checkpoint.Folder(tmp_path / "run" / "checkpoints")
    saved = nn.checkpoint.load(folder.file(3))["opt_state"]
    assert (saved["scale"], saved["good_steps"], saved["skipped"]) == (2**16, 3, 0)
    gathered = saved["inner_state"]
    assert (gathered["gradient_step"], gathered["mini_step"]) == (1, 1)


@pytest.mark.compiled
def test_summary_and_graph_take_a_run(run_dir, tmp_path, capsys):
    """The net is the one that was trained there; another name beside it is a slip."""
    assert main(["summary", str(run_dir)]) == 0
    of_run = capsys.readouterr().out
    assert main(["summary", "--model", "mlp"]) == 0
    assert of_run == capsys.readouterr().out
    assert main(["graph", str(run_dir)]) == 0
    assert capsys.readouterr().out.startswith("input -> flatten -> linear")

    assert str(tmp_path) in failed(capsys, 2, "summary", tmp_path)
    with pytest.raises(SystemExit):
        main(["graph", str(run_dir), "--model", "mlp"])


@pytest.mark.compiled
def test_graph_follows_the_loss_and_its_gradient(capsys):
    """There from the input, back from the loss, and as a picture."""
    assert main(["graph", "--model", "mlp"]) == 0
    there = "input -> flatten -> linear -> relu -> linear -> relu -> linear"
    assert capsys.readouterr().out.startswith(there)

    assert main(["graph", "--backward", "--model", "resnet20"]) == 0
    assert capsys.readouterr().out.startswith("loss -> cross_entropy -> linear")

    for form, start in (("svg", "<svg"), ("dot", "digraph"), ("mermaid", "flowchart")):
        assert main(["graph", "--model", "mlp", "--format", form]) == 0
        assert capsys.readouterr().out.startswith(start)


@pytest.fixture
def locations():
    """Gives JAX back what `export` tells it for the rest of its process."""
    before = jax.config.jax_traceback_in_locations_limit
    yield
    jax.config.update("jax_traceback_in_locations_limit", before)


@pytest.mark.compiled
@pytest.mark.usefixtures("locations")
def test_export_writes_one_program(run_dir, tmp_path, capsys):
    """Into the run or elsewhere; it computes the logits of the run's net."""
    path = tmp_path / "some" / "net.stablehlo"
    run = runs.open_run(run_dir)
    images = jax.numpy.asarray(nn.data.digits(image_size=32).test.images[:5])
    want = run.net.apply(run.params, images)

    assert main(["export", str(run_dir), "--out", str(path)]) == 0

    shown = capsys.readouterr().out
    size = path.stat().st_size
    assert shown == (
        f"{path}: float32[b,32,32,1] to float32[b,10] on cpu, cuda, tpu; "
        f"{size:,} bytes\n"
    )
    exported = jax.export.deserialize(path.read_bytes())
    np.testing.assert_allclose(exported.call(images), want, rtol=1e-6, atol=1e-6)
    assert b".py" not in path.read_bytes()  # nor paths of this machine

    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    assert main(["export", str(folder), "--batch-size", "5"]) == 0
    assert "float32[5,32,32,1] to float32[5,10]" in capsys.readouterr().out
    exported = jax.export.deserialize((folder / "model.stablehlo").read_bytes())
    np.testing.assert_allclose(exported.call(images), want, rtol=1e-6, atol=1e-6)
    assert main(["check", str(folder)]) == 0


def test_export_writes_a_folder_in_the_hugging_face_layout(run_dir, tmp_path, capsys):
    """What is read from it is the net of the run."""
    assert (
        main(
            ["export", str(run_dir), "--format", "huggingface", "--out", str(tmp_path)]
        )
        == 0
    )

    assert capsys.readouterr().out == f"{tmp_path}: model.safetensors and config.json\n"
    assert sorted(os.listdir(tmp_path)) == ["config.json", "model.safetensors"]
    run = runs.open_run(run_dir)
    net, params, state = nn.interop.load_pretrained(tmp_path)
    assert nn.describe(net) == nn.describe(run.net)
    assert jax.tree.all(jax.tree.map(np.array_equal, params, run.params))
    assert state == {}


@pytest.mark.usefixtures("locations")
def test_export_leaves_the_run_as_it_is(run_dir, tmp_path, capsys, monkeypatch):
    """One line for each slip, and no file of the run is written over."""
    before = contents(run_dir)
    folder = ("export", run_dir, "--format", "huggingface")

    for name in ("model.safetensors", "config.json", "metrics.jsonl"):
        line = refused(capsys, "export", run_dir, "--out", run_dir / name)
        assert "the name of a run's own file" in line
    assert "holds something else" in refused(capsys, *folder, "--out", run_dir)
    assert "no --batch-size" in refused(capsys, *folder, "--batch-size", 2)
    assert str(tmp_path) in refused(capsys, "export", run_dir, "--out", tmp_path)
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    line = refused(capsys, "export", run_dir, "--out", tmp_path / "net")
    assert 'pip install "lenetjax[export]"' in line

    assert contents(run_dir) == before
    assert os.listdir(tmp_path) == []


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
        (
            ["train", "--optimizr", "sgd"],
            "train: unrecognized arguments: --optimizr sgd (see lenetjax train --help)",
        ),
        (["check", "a", "b"], "lenetjax check: unrecognized arguments: b"),
        (
            ["train", "--optimizer", "adam", "--momentum", "0.5"],
            "adam has no --momentum",
        ),
        (["train", "--data", "mnist", "--data-dir", "nowhere"], "nowhere"),
        (["evaluate", "nowhere"], "nowhere holds no run, as there is no nowhere/"),
        (["predict", "nowhere", "a.png"], "nowhere"),
        (["figures"], "RUN_DIR"),
        (["figures", "nowhere"], "nowhere"),
        (["figures", "nowhere", "--platform", "abacus"], "invalid choice: 'abacus'"),
        (["predict"], "RUN_DIR"),
        (
            ["train", "--checkpoint-every", "0"],
            "--checkpoint-every: must be at least 1",
        ),
        (["train", "--checkpoint-every", "0s"], "--checkpoint-every: must be a pos"),
        (["train", "--checkpoint-every", "soon"], "--checkpoint-every: invalid"),
        (["train", "--resume", "nowhere", "--out", "."], "nowhere"),
        (["check"], "RUN_DIR|FILE"),
        (["export"], "RUN_DIR"),
        (["export", "nowhere"], "nowhere holds no run"),
        (["export", "nowhere", "--format", "onnx"], "invalid choice: 'onnx'"),
        (["export", "nowhere", "--batch-size", "0"], "--batch-size: must be at least"),
        (["export", "nowhere", "--batch-size", "all"], "invalid int value: 'all'"),
        (["tarin"], "invalid choice: 'tarin'"),
        ([], "COMMAND"),
    ],
)
def test_slips_get_one_line(arguments, said, capsys, tmp_path, monkeypatch):
    """A wrong option or a missing file: one line on stderr, exit status 2."""
    monkeypatch.chdir(tmp_path)

    assert said in refused(capsys, *arguments)
    assert os.listdir(tmp_path) == []


def contents(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_is_never_overwritten(run_dir, capsys):
    """An --out that holds another run is refused, and the run stays."""
    before = contents(run_dir)
    same = ("train", "--epochs", "2", "--model", "mlp", "--out", run_dir)

    line = refused(capsys, "train", "--epochs", "1", "--model", "mlp", "--out", run_dir)
    assert "another configuration (epochs 2 there, 1 here)" in line
    line = refused(capsys, "train", "--seed", "7", "--epochs", "2", "--out", run_dir)
    assert "model mlp there, lenet here; seed 0 there, 7 here" in line
    assert "holds a run already" in refused(capsys, *same, "--resume", "never")
    assert contents(run_dir) == before


def test_the_same_command_finds_a_finished_run(run_dir, capsys):
    """It trains nothing, and says what came of it."""
    before = contents(run_dir)

    status = main(["train", "--epochs", "2", "--model", "mlp", "--out", str(run_dir)])

    assert status == 0
    assert "after 2 epochs" in capsys.readouterr().out
    after = contents(run_dir)
    assert after[run_dir / "model.safetensors"] == before[run_dir / "model.safetensors"]
    assert after[run_dir / "metrics.jsonl"] == before[run_dir / "metrics.jsonl"]


def test_resume_goes_on_from_a_path(run_dir, tmp_path, capsys):
    """From the first checkpoint of a run into another folder: the same end."""
    source = nn.checkpoint.Folder(run_dir / "checkpoints")
    first = source.file(source.steps()[0])
    options = ["train", "--epochs", "2", "--model", "mlp"]

    assert main([*options, "--resume", str(first), "--out", str(tmp_path / "b")]) == 0
    assert main([*options, "--resume", str(run_dir)]) == 0  # goes on where it is

    for folder in (run_dir, tmp_path / "b"):
        assert len(metrics_of(folder)) == 2
        assert (folder / "model.safetensors").read_bytes() == (
            run_dir / "model.safetensors"
        ).read_bytes()


def test_check_says_what_is_there_and_whole(run_dir, tmp_path, capsys):
    """A run, its files alone, and an IDX file: status 0."""
    idx = tmp_path / "labels"
    idx.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3]))

    assert main(["check", str(run_dir)]) == 0
    shown = capsys.readouterr().out
    assert "a run of mlp on digits" in shown
    assert "2 epochs, test accuracy" in shown
    assert shown.count("whole, ") == 2
    assert '  setup: {"seed": 0, ' in shown
    assert main(["check", str(run_dir / "model.safetensors")]) == 0
    assert "fc1.weight float32[1024," in capsys.readouterr().out
    assert main(["check", str(idx)]) == 0
    assert "IDX, uint8[2]" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["config.json", "metrics.jsonl", "model.safetensors", "checkpoints"]
)
def test_check_finds_what_is_damaged(run_dir, tmp_path, capsys, name):
    """One line for each bad file, status 1; the others are still looked at."""
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    path = folder / name
    if path.is_dir():
        path = sorted(path.iterdir())[-1]
    path.write_bytes(path.read_bytes()[:-9])

    assert main(["check", str(folder)]) == 1

    shown = capsys.readouterr()
    assert str(path) in shown.err
    assert len(shown.err.splitlines()) == 1
    assert "Traceback" not in shown.err
    assert shown.out.count("whole, ") == (1 if name == "checkpoints" else 2)


def test_check_of_a_run_that_was_killed_early(tmp_path, capsys):
    """Before its first epoch it has no weights, and nothing is wrong with that."""
    folder = tmp_path / "run"
    program = (
        "import sys, os, lenetjax as nn; from lenetjax import cli, loop\n"
        "loop.Loop.take = lambda self, batch: os._exit(9)\n"
        f"cli.main(['train', '--model', 'mlp', '--out', {str(folder)!r}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)  # noqa: S603
    assert done.returncode == 9

    assert main(["check", str(folder)]) == 0
    assert "its first epoch is not done" in capsys.readouterr().out
    (folder / "config.json").write_text('{"format": 1}')
    assert main(["check", str(folder)]) == 1


@pytest.mark.parametrize(
    "change",
    [{"model": 1}, {"data": None}, {"image_shape": [1e999, 1, 1]}, {"image_shape": 3},
     {"net": []}, {"data": "cifar"}],
)  # fmt: skip
def test_a_hostile_configuration_gets_one_line(run_dir, tmp_path, capsys, change):
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))

    line = refused(capsys, "evaluate", folder)

    assert "config.json describes no net" in line or "no data 'cifar'" in line


def test_output_that_cannot_be_written_gets_one_line():
    """A full disk behind a pipe: one line, no words of Python's own."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lenetjax", "summary"],
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr == "lenetjax summary: No space left on device\n"


@pytest.mark.parametrize("content", [b"", b"hello", b"\0\0\7\1", b"\x1f\x8bx"])
def test_check_refuses_other_files(tmp_path, capsys, content):
    path = tmp_path / "file"
    path.write_bytes(content)

    assert str(path) in failed(capsys, 1, "check", path)
    assert "nothing" in failed(capsys, 1, "check", tmp_path / "nothing")
    assert "holds no run" in failed(capsys, 1, "check", tmp_path)


def test_a_run_that_explodes_ends_in_one_line(tmp_path, capsys):
    """Step, loss and advice; status 1; the run can be checked."""
    folder = tmp_path / "run"
    status = main(
        ["train", "--model", "mlp", "--epochs", "2", "--learning-rate", "1e30",
         "--out", str(folder)]
    )  # fmt: skip

    assert status == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "lenetjax train: step" in last
    assert "lower learning rate" in last
    assert not (folder / "model.safetensors").exists()


@pytest.mark.compiled  # else the NaN that marks a bad label is found where it is made
def test_checked_mode_trains(tmp_path, capsys):
    out = str(tmp_path / "run")
    assert (
        main(["train", "--model", "mlp", "--epochs", "1", "--checked", "--out", out])
        == 0
    )
    assert "test accuracy" in capsys.readouterr().out


def test_a_folder_in_use_is_left_alone(tmp_path, capsys):
    """Who holds it is said."""
    with locked(tmp_path):
        line = refused(capsys, "train", "--model", "mlp", "--out", tmp_path)

    assert f"in use by process {os.getpid()} on" in line
    assert os.listdir(tmp_path) == []


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
    folder = tmp_path / "run"
    shutil.copytree(run_dir, folder)
    (folder / name).write_text(content)

    assert name in refused(capsys, "evaluate", folder)


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
    assert last.startswith("lenetjax train: interrupted, saved at step ")
    assert last.endswith("; with --out RUN_DIR the same command goes on")
    assert main(["evaluate", str(folder)]) == 0
    assert "test accuracy" in capsys.readouterr().out


def test_a_second_run_compiles_nothing(tmp_path):
    """All that the first has compiled is in the user's cache; nothing comes to it."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path),
        "JAX_ENABLE_COMPILATION_CACHE": "1",
    }
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    kept = []
    for number in (1, 2):
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "lenetjax", "train", "--model", "mlp",
             "--epochs", "1", "--out", str(tmp_path / f"run {number}")],
            capture_output=True, text=True, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        programs = (tmp_path / "lenetjax" / "programs").rglob("*-cache")
        kept.append(sorted(path.name for path in programs))

    assert len(kept[0]) > 10
    assert kept[0] == kept[1]
    weights = [tmp_path / f"run {n}" / "model.safetensors" for n in (1, 2)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_cache_that_cannot_be_written_is_no_matter(tmp_path):
    """The run goes without it, and says nothing."""
    (tmp_path / "lenetjax").write_text("no folder")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "lenetjax", "summary"],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip

    assert done.returncode == 0
    assert done.stderr == ""


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


@pytest.mark.skipif(bool(find_spec("libtpu")), reason="there may be a TPU")
def test_a_platform_that_is_not_there_is_named(tmp_path):
    """In a process of its own, as JAX chooses its platform once."""
    done = subprocess.run(
        [sys.executable, "-m", "lenetjax", "summary", "--platform", "tpu"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("lenetjax summary: --platform tpu: JAX finds none")
    assert len(done.stderr.splitlines()) == 1
