"""Text: how it becomes sequences, and files that are no text."""

import importlib
import os
from pydoc_data.topics import topics

import hypothesis.strategies as st
import numpy as np
import optax
import pytest
from hostile import texts
from hypothesis import given, settings

import lenetjax as nn
from lenetjax.data import Dataset, text

# `lenetjax.data.text` is the function; the module has to be asked for by name.
module = importlib.import_module("lenetjax.data.text")


@pytest.fixture
def write(tmp_path):
    """Writes a text file and returns its path."""

    def write(content, name="text.txt"):
        path = tmp_path / name
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content)
        return path

    return write


def refusal(path, *args, **options):
    with pytest.raises(ValueError, match=r".") as caught:
        text(path, *args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(
    content=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    length=st.integers(1, 7),
)
@settings(max_examples=30)
def test_sequences_are_the_text(tmp_path_factory, content, length):
    """Joined, they are its two parts up to a rest; labels are one character on."""
    content += "the end " * 10
    path = tmp_path_factory.mktemp("text") / "file"
    path.write_bytes(content.encode())

    found = text(path, length)

    content = content.removeprefix("\ufeff")
    assert found.vocabulary == "".join(sorted(set(content)))
    cut = len(content) - len(content) // 10
    for split, part in zip(found.data, (content[:cut], content[cut:]), strict=True):
        assert split.images.dtype == split.labels.dtype == np.int32
        assert (
            split.images.shape
            == split.labels.shape
            == ((len(part) - 1) // length, length)
        )
        kept = split.images.size
        assert found.decode(split.images.ravel()) == part[:kept]
        assert found.decode(split.labels.ravel()) == part[1 : kept + 1]
        assert 0 < kept <= len(part) - 1 < kept + length


def test_a_text_becomes_ids_and_comes_back(write):
    """`encode` is the inverse of `decode`, and refuses what the text has not."""
    found = text(write("Grüße, 世界! " * 9), 4)
    assert found.decode(found.encode("Grüße, 世界!")) == "Grüße, 世界!"
    assert found.encode("").shape == (0,)
    with pytest.raises(ValueError, match=r"got 'z' at 3"):
        found.encode("Grüz")


def test_a_vocabulary_decides_the_ids(write):
    """A trained net's, with which another text has the same ids."""
    path = write("abcab" * 10)
    found = text(path, 4, vocabulary="xcba")
    assert found.vocabulary == "xcba"
    assert found.data.train.images[0].tolist() == [3, 2, 1, 3]
    message = refusal(path, 4, vocabulary="ab")
    assert f"{path}: expected characters of the vocabulary, got 'c' at 2" in message
    assert "each character once" in refusal(path, 4, vocabulary="abca")


def test_a_mark_at_the_beginning_is_no_character(write):
    """Editors on Windows write one; line ends stay as they are."""
    found = text(write(b"\xef\xbb\xbf" + b"a\r\n" * 20), 4)
    assert found.vocabulary == "\n\ra"


@pytest.mark.parametrize("content", dict(texts()).values(), ids=dict(texts()))
def test_what_is_no_text_is_refused(write, content):
    """The message names the file, what is wrong with it, and what to do."""
    path = write(content)
    message = refusal(path, 4)
    assert str(path) in message
    assert any(advice in message for advice in ("save it as UTF-8", "a longer text"))


def test_lengths_that_do_not_fit_are_refused(write):
    """The last tenth must hold a sequence and the character after it."""
    path = write("a" * 59)
    assert "at least 60 characters for length=5, got 59" in refusal(path, 5)
    assert len(text(path, 4).data.test.labels) == 1
    for length in (0, -1, 2.0, True, "5", None):
        assert "length must be a positive int" in refusal(path, length)


def test_a_large_file_is_refused(write, monkeypatch):
    """Before it is decoded."""
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    path = write("a" * 1001)
    assert "expected at most 1000 bytes, got more" in refusal(path, 4)


def test_what_is_no_file_is_refused(tmp_path):
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(tmp_path / "pipe", 4)
    assert "no regular file" in refusal(tmp_path, 4)
    with pytest.raises(FileNotFoundError):
        text(tmp_path / "none", 4)


def test_a_net_learns_what_comes_next(write):
    """Python's own manual goes through `fit`, and is guessed better than by chance."""
    content = "\n".join(topics.values())
    assert len(content) > 400_000
    found = text(write(content[:11_400]), 16)
    assert isinstance(found.data, Dataset)
    size = len(found.vocabulary)
    net = nn.serial(embedding=nn.embedding(size, 16), out=nn.linear(size))

    result = nn.fit(
        net, optax.adam(0.03), found.data, epochs=5, batch_size=32, progress=False
    )

    outputs = nn.predict(net, result.params, found.data.test.images)
    labels = found.data.test.labels
    assert outputs.shape == (*labels.shape, size)
    often = np.bincount(found.data.train.labels.ravel()).argmax()
    assert result.test_accuracy > (labels == often).mean() + 0.05
    assert np.isclose(result.test_accuracy, (outputs.argmax(-1) == labels).mean())
    loss = nn.losses.cross_entropy(outputs, labels)
    assert np.isclose(result.history[-1]["test_loss"], loss, rtol=1e-4)
    assert result.history[-1]["test_loss"] < np.log(size)
