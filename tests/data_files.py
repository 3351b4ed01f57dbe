"""Writers of data sets in their official formats, with few images, and a server."""

import contextlib
import functools
import gzip
import http.server
import io
import struct
import tarfile
import threading

import numpy as np

NAMES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def images_file(count, height=28, width=28):
    values = (np.arange(count * height * width) % 256).astype(np.uint8)
    return b"\0\0\x08\x03" + struct.pack(">3I", count, height, width) + values.tobytes()


def labels_file(count):
    return (
        b"\0\0\x08\x01" + struct.pack(">I", count) + bytes(i % 10 for i in range(count))
    )


def small_mnist(train=12, test=5, **sides):
    """The content of four valid files, by name."""
    contents = [images_file(train, **sides), labels_file(train)]
    contents += [images_file(test, **sides), labels_file(test)]
    return dict(zip(NAMES, contents, strict=True))


def write(folder, contents, ending=""):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        packed = gzip.compress(content) if ending == ".gz" else content
        (folder / (name + ending)).write_bytes(packed)
    return folder


CIFAR = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
CIFAR_FOLDER = "cifar-10-batches-bin"


def small_cifar10(records=3):
    """The content of six files with so many images each, by name."""
    rng = np.random.default_rng(0)
    files = {}
    for name in CIFAR:
        values = rng.integers(0, 256, (records, 3073), np.uint8)
        values[:, 0] %= 10
        files[name] = values.tobytes()
    return files


def member(name, content=b"", kind=tarfile.REGTYPE, size=None, link=""):
    """One member of a tar archive; its header may state another size."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(content) if size is None else size
    padding = bytes(-len(content) % tarfile.BLOCKSIZE)
    return info.tobuf(tarfile.GNU_FORMAT) + content + padding


def archive(*members):
    """A gzipped tar archive."""
    return gzip.compress(b"".join(members) + bytes(2 * tarfile.BLOCKSIZE), mtime=0)


def cifar10_members(files):
    """The members of CIFAR-10's archive, with its other files in between."""
    first, *others = (
        member(f"{CIFAR_FOLDER}/{name}", content) for name, content in files.items()
    )
    folder = member(f"{CIFAR_FOLDER}/", kind=tarfile.DIRTYPE)
    meta = member(f"{CIFAR_FOLDER}/batches.meta.txt", b"airplane\n")
    return [folder, first, meta, *others]


def cifar10_archive(files):
    """CIFAR-10's archive, written by tarfile itself."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, values in files.items():
            info = tarfile.TarInfo(f"{CIFAR_FOLDER}/{name}")
            info.size = len(values)
            tar.addfile(info, io.BytesIO(values))
    return content.getvalue()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Says nothing."""


@contextlib.contextmanager
def serving(folder):
    """Makes a folder and serves it; gives the folder and its address."""
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield folder, f"http://127.0.0.1:{running.server_port}/"
        finally:
            running.shutdown()
            thread.join()
