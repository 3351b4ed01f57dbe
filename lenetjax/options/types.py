"""What the value of an option may be."""

import argparse


def positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def batch_size(text: str) -> int | str:
    return text if text == "symbolic" else positive_int(text)


def devices(text: str) -> int | str:
    return text if text == "all" else positive_int(text)


def index(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, got {text}")
    return value


def interval(text: str) -> int | str:
    if text.endswith("s"):
        positive_float(text[:-1])
        return text
    return positive_int(text)


def positive_float(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text}")
    return value


def momentum(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be from 0 up to 1, got {text}")
    return value


def positive_floats(text: str) -> list[float]:
    return [positive_float(part) for part in text.split(",")]


def momentums(text: str) -> list[float]:
    return [momentum(part) for part in text.split(",")]


def seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise argparse.ArgumentTypeError(f"must be from 0 to 2**32 - 1, got {text}")
    return value


for _type, _name in (
    (positive_int, "int"),
    (batch_size, "int"),
    (devices, "number of devices"),
    (index, "int"),
    (interval, "interval"),
    (positive_float, "number"),
    (momentum, "number"),
    (positive_floats, "list of numbers"),
    (momentums, "list of numbers"),
    (seed, "int"),
):
    _type.__name__ = _name  # argparse says "invalid int value", with this name
