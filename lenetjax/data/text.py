"""Text, cut into sequences of characters for a net that says what comes next."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lenetjax.data.checks import positive_int
from lenetjax.data.dataset import Dataset, Split
from lenetjax.data.places import PathLike, expanded

MOST_BYTES = 256 * 1024**2  # of a file; as ids, twice eight times as much
TEST_SHARE = 10  # the last tenth
CODE_POINTS = 0x110000  # in Unicode


class Text(NamedTuple):
    """A text as ids of characters, and which characters they are.

    Fields:
      data: a `Dataset` for `fit`; its images are sequences of ids (count, length),
        int32, and its labels the ids one character on.
      vocabulary: the characters; an id is a place in it.

    Example:
      >>> ids = np.array([[0, 1], [1, 0]], np.int32)
      >>> split = Split(ids[:, :1], ids[:, 1:])
      >>> Text(Dataset(split, split), "ab").decode(ids[0])
      'ab'
    """

    data: Dataset
    vocabulary: str

    def encode(self, text: str) -> NDArray[np.int32]:
        """The ids of a text's characters, (characters,).

        Raises:
          ValueError: one is not in the vocabulary.
        """
        return _encoded("the text", text, self.vocabulary)

    def decode(self, ids: NDArray[np.integer]) -> str:
        """The text that ids (characters,) stand for."""
        return "".join(self.vocabulary[index] for index in np.asarray(ids).tolist())


def text(path: PathLike, length: int = 64, *, vocabulary: str | None = None) -> Text:
    """Loads a text file to train a net on that says which character comes next.

    The last tenth of the text is there to test with. Each part is cut into sequences
    that lie one behind the other; what remains at its end is left out.

    Args:
      path: a text file in UTF-8, of at most 256 MiB. Its characters are taken as they
        are, line ends too; a byte order mark is not.
      length: of a sequence, in characters.
      vocabulary: the characters that ids stand for, such as those of a text that a net
        was trained on; without it those of this text, in the order of Unicode.

    Returns:
      A `Text`: `data`, a `Dataset` of ids (count, length) and those of the next
      characters (count, length), both int32; and `vocabulary`.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is no text in UTF-8, too large, too short for one sequence in each
        part, or has a character that is not in `vocabulary`; or `length` is no
        positive int.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = Path(folder, "text.txt")
      ...     _ = path.write_text("abcab" * 10)
      ...     found = text(path, 4)
      >>> found.vocabulary, found.data.train.images.shape
      ('abc', (11, 4))
      >>> found.data.train.images[0], found.data.train.labels[0]
      (array([0, 1, 2, 0], dtype=int32), array([1, 2, 0, 1], dtype=int32))

    Reference: Graves, "Generating Sequences With Recurrent Neural Networks", 2013,
      https://arxiv.org/abs/1308.0850.
    """
    length = positive_int("length", length)
    path = expanded(path)
    found = _read(path)
    cut = len(found) - len(found) // TEST_SHARE
    shortest = len(found) - cut
    if shortest < length + 1:
        raise ValueError(
            f"{path}: expected at least {TEST_SHARE * (length + 1)} characters for "
            f"length={length}, got {len(found)}; pass a smaller length or a longer text"
        )
    if vocabulary is None:
        vocabulary = _characters(found)
    ids = _encoded(str(path), found, vocabulary)
    return Text(Dataset(_cut(ids[:cut], length), _cut(ids[cut:], length)), vocabulary)


def _read(path: Path) -> str:
    if path.exists() and not path.is_file():  # to open a pipe would wait forever
        raise ValueError(f"{path} is no regular file; name a text file")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(
            f"{path}: expected at most {MOST_BYTES} bytes, got more; take a part of it"
        )
    try:
        found = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected text in UTF-8, got the byte {content[error.start]:02x} "
            f"at {error.start}; save it as UTF-8"
        ) from None
    if "\0" in found:  # UTF-16 without its mark is UTF-8 full of zeros
        raise ValueError(
            f"{path}: expected text in UTF-8, got a zero at {found.index(chr(0))}; is "
            "it a text file? save it as UTF-8"
        )
    return found


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def _characters(text: str) -> str:
    there = np.zeros(CODE_POINTS, np.bool_)
    there[_codes(text)] = True
    return "".join(map(chr, np.flatnonzero(there)))


def _encoded(where: str, text: str, vocabulary: str) -> NDArray[np.int32]:
    if len(set(vocabulary)) < len(vocabulary):
        raise ValueError("a vocabulary must have each character once")
    ids = np.full(CODE_POINTS, -1, np.int32)
    ids[_codes(vocabulary)] = np.arange(len(vocabulary), dtype=np.int32)
    found: NDArray[np.int32] = ids[_codes(text)]
    unknown = np.flatnonzero(found < 0)
    if unknown.size:
        raise ValueError(
            f"{where}: expected characters of the vocabulary, got "
            f"{text[unknown[0]]!a} at {unknown[0]}; is this the text that the "
            "vocabulary is from?"
        )
    return found


def _cut(ids: NDArray[np.int32], length: int) -> Split:
    count = (len(ids) - 1) // length
    end = count * length
    # Views: the two differ by a place.
    inputs, following = ids[:end], ids[1 : end + 1]
    return Split(inputs.reshape(count, length), following.reshape(count, length))
