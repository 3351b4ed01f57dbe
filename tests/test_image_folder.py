"""Images in one folder per class, as torchvision lists them, read when asked for."""

import concurrent.futures
import io
import os
import pickle
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from lenetjax.data import image_folder, load_image
from lenetjax.data.images import read_image

grain = pytest.importorskip("grain", reason="needs lenetjax[grain]")

COUNT = 24
COLORS = {"blue": (0, 0, 200), "green": (0, 200, 0), "red": (200, 0, 0)}


def draw(path, color=(0, 0, 0), size=(8, 8), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    spots = np.random.default_rng(seed).integers(0, 50, (*size[::-1], len(color)))
    Image.fromarray((np.array(color) + spots).astype(np.uint8)).save(path)


def three_colors(root):
    """Fills a folder with images of three classes."""
    for i in range(COUNT):
        name = sorted(COLORS)[i % 3]
        draw(root / name / f"{i}.png", COLORS[name], seed=i)
    return root


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return three_colors(tmp_path_factory.mktemp("pictures"))


def tree(root, *names):
    for name in names:
        draw(root / name)
    return root


def test_images_are_listed_in_the_order_of_their_names(tmp_path):
    """Classes, folders in them, and files; as os.walk finds and sorted puts them."""
    listed = ["b/2.png", "b/10.png", "b/c/1.JPG", "b/C/9.jpeg", "a/x.bmp", "a.b/y.gif",
              "a/z.webp"]  # fmt: skip
    others = [".git/1.png", "a/.hidden/1.png", "a/._x.png"]
    tree(tmp_path, *listed, *others)
    (tmp_path / "b" / "notes.txt").write_text("no image")
    (tmp_path / "readme.png").write_text("of no class")

    source = image_folder(tmp_path, image_size=8)

    expected = []
    for label, name in enumerate(sorted({name.split("/")[0] for name in listed})):
        for folder, _, files in sorted(os.walk(tmp_path / name)):
            paths = [os.path.join(folder, file) for file in sorted(files)]
            expected += [
                (path, label)
                for path in paths
                if os.path.relpath(path, tmp_path) in listed
            ]
    assert source.classes == ["a", "a.b", "b"]
    assert len(source) == len(expected) == len(listed)
    assert [(str(source.path(i)), source[i][1]) for i in range(len(source))] == expected
    assert source.labels.tolist() == [label for _, label in expected]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_those_of_load_image(pictures, channels):
    source = image_folder(str(pictures), image_size=16, channels=channels)
    assert isinstance(source, grain.sources.RandomAccessDataSource)
    for i in 0, np.int64(9), -1:
        image, label = source[i]
        path = source.path(i)
        assert image.shape == (16, 16, channels)
        assert image.dtype == np.float32
        assert source.classes[label] == path.parent.name
        want = load_image(path, image_size=16, channels=channels)
        np.testing.assert_array_equal(image, want)
    assert len(list(source)) == COUNT  # IndexError ends it
    with pytest.raises(TypeError):
        source[:2]


def test_colors_stay_as_they_are(tmp_path):
    """Light or dark, between black bars where the image is not square."""
    colors = np.random.default_rng(0).integers(0, 256, (8, 4, 3), np.uint8)
    Image.fromarray(colors).save(tmp_path / "tall.png")

    image = load_image(tmp_path / "tall.png", image_size=8, channels=3)

    np.testing.assert_array_equal(image[:, 2:6], colors.astype(np.float32) / 255)
    assert not image[:, [0, 1, 6, 7]].any()


def test_colors_of_other_modes(tmp_path):
    """White behind transparent parts; gray in all three; 16 bits scaled."""
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    clear.paste((0, 100, 200, 255), (0, 0, 4, 8))
    half = np.full((8, 8), 2**15, np.uint16)
    for name, picture in {
        "clear": clear, "palette": clear.convert("RGB").convert("P"),
        "gray": Image.new("L", (8, 8), 51), "deep": Image.fromarray(half),
    }.items():  # fmt: skip
        picture.save(tmp_path / f"{name}.png")

    def read(name):
        path = tmp_path / f"{name}.png"
        return load_image(path, image_size=8, channels=3)

    blue = np.array([0, 100, 200], np.float32) / 255
    np.testing.assert_array_equal(read("clear")[:, :4], np.tile(blue, (8, 4, 1)))
    assert (read("clear")[:, 4:] == 1).all()
    np.testing.assert_allclose(read("palette")[0, 0], blue, atol=0.1)
    assert (read("gray") == np.float32(51) / 255).all()
    np.testing.assert_allclose(read("deep"), 0.5, atol=0.01)


@pytest.mark.parametrize(
    ("names", "at", "error", "words"),
    [
        ([], "none", FileNotFoundError, "none"),
        (["1.png"], "1.png", NotADirectoryError, "1.png"),
        (["1.png", ".git/1.png"], "", ValueError, "one folder for each class"),
        (["a/1.png", "b/c/.x.png"], "", ValueError, r"b: expected images.*\.webp"),
    ],
)
def test_what_is_no_folder_of_classes_is_refused(tmp_path, names, at, error, words):
    """By its path."""
    with pytest.raises(error, match=words):
        image_folder(tree(tmp_path, *names) / at)


def test_links_are_followed_but_not_in_circles(tmp_path):
    tree(tmp_path, "root/a/1.png", "elsewhere/2.png")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "elsewhere")
    assert image_folder(tmp_path / "root").labels.tolist() == [0, 1]
    (tmp_path / "root" / "a" / "up").symlink_to(tmp_path / "root")
    with pytest.raises(ValueError, match="up: a link to a folder that it is in"):
        image_folder(tmp_path / "root")


def test_a_pipe_is_not_waited_for(tmp_path):
    tree(tmp_path, "a/1.png")
    os.mkfifo(tmp_path / "a" / "2.png")
    with pytest.raises(ValueError, match=r"2\.png: expected an image"):
        image_folder(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"channels": 2}, "1 or 3"), ({"channels": True}, "channels"),
     ({"image_size": 0}, "image_size")],
)  # fmt: skip
def test_arguments_that_are_wrong_are_refused_at_once(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        image_folder(tree(tmp_path, "a/1.png"), **options)


def test_a_file_that_is_no_image_is_named_when_it_is_read(tmp_path):
    """In a loader's threads too; nothing is read before."""
    tree(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "b" / "2.png").write_text("no image")

    source = image_folder(tmp_path)

    assert source[0][1] == 0
    with pytest.raises(ValueError, match=r"b/2\.png: expected a whole PNG"):
        source[1]
    with pytest.raises(ValueError, match=r"b/2\.png: expected a whole PNG"):
        list(grain.MapDataset.source(source).batch(2))


def test_a_file_that_changes_is_refused(tmp_path):
    """As the batches would not be the same when a training goes on."""
    source = image_folder(tree(tmp_path, "a/1.png", "a/2.png", "a/3.png"))
    draw(tmp_path / "a" / "1.png", size=(9, 9))
    os.utime(tmp_path / "a" / "2.png", (0, 0))
    (tmp_path / "a" / "3.png").unlink()

    for i in 0, 1:
        with pytest.raises(ValueError, match=rf"{i + 1}\.png: has changed since"):
            source[i]
    with pytest.raises(FileNotFoundError, match=r"3\.png"):
        source[2]


def test_a_source_goes_to_other_processes(pictures):
    """It can be pickled, and its text, which grain compares, has no address in it."""
    source = image_folder(pictures, image_size=8)
    other = pickle.loads(pickle.dumps(source))  # noqa: S301  # our own
    np.testing.assert_array_equal(other[5][0], source[5][0])
    assert repr(other) == repr(source)
    assert repr(source).endswith(
        f"image_size=8, channels=3): {COUNT} images of 3 classes"
    )


class Waiting(io.BytesIO):
    """A file that is read when it is let go."""

    def __init__(self, content):
        super().__init__(content)
        self.asked, self.go = threading.Event(), threading.Event()

    def read(self, *size):
        self.asked.set()
        assert self.go.wait(60)
        return super().read(*size)


def test_threads_leave_the_filters_of_warnings_alone(tmp_path):
    """They belong to all; two that overlap would put them back in the wrong order."""
    draw(tmp_path / "1.png")
    files = [Waiting((tmp_path / "1.png").read_bytes()) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        before = list(warnings.filters)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            reading = []
            for file in files:
                reading.append(pool.submit(read_image, file, "1.png", 8, 3))
                assert file.asked.wait(60)
            for file, result in zip(files, reading, strict=True):
                file.go.set()
                assert result.result().shape == (8, 8, 3)
        assert warnings.filters == before


def test_threads_refuse_too_many_pixels(tmp_path):
    """Where warnings are ignored too, of which Pillow has one for some sizes."""
    tree(tmp_path, "a/1.png")
    Image.new("1", (10_000, 10_000)).save(tmp_path / "a" / "bomb.png")
    source = image_folder(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            error = pool.submit(lambda: source[1]).exception()
    assert isinstance(error, ValueError)
    assert "bomb.png: the image is too large" in str(error)
