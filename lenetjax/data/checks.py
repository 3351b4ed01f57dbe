"""Checks of arguments and files, shared by the functions of this package."""

import numpy as np

WEB_PAGE_STARTS = (b"<!doctype", b"<html", b"<?xml")


def positive_int(name: str, value: object) -> int:
    """Returns the value as an int, or raises ValueError if it is not 1, 2, 3, ..."""
    # True is an int in Python, but nobody means an image of size True.
    if isinstance(value, int | np.integer) and value is not True and value > 0:
        return int(value)
    raise ValueError(f"{name} must be a positive int, got {value!r}")


def is_web_page(start: bytes) -> bool:
    """Tells from its first bytes whether a download gave a page instead of a file."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith(WEB_PAGE_STARTS)
