"""The example scenes that ship with the package, by name: `example:kite-moon` and others.

What is on them, and where, is told by `llavit_lens.miniature.example`.
"""

from __future__ import annotations

import difflib
import functools
import json
from importlib.resources import files
from pathlib import Path

from llavit_lens.disk import shown
from llavit_lens.errors import ImageError

EXAMPLE_PREFIX = "example:"
"""What the name of an example scene begins with, where an image is given as text."""
FIRST_EXAMPLE = "fish-chicken-slow"
"""The scene that people see first: both demo models do best on it, by the rule of
`llavit_lens.miniature.benchmark.best_example`."""


def example_folder() -> Path:
    """Of images, labels of pixels and `scenes.json`, which has the scenes and labels of patches."""
    return Path(str(files("llavit_lens"))) / "assets" / "scenes"


@functools.cache
def _names() -> tuple[str, ...]:
    index = example_folder() / "scenes.json"
    return tuple(json.loads(index.read_text())) if index.is_file() else ()


def example_names() -> list[str]:
    """Names of the example scenes, in the order of the explorer."""
    return list(_names())


def example_path(name: str | None = None) -> Path:
    """Image of an example scene (PNG), 112 x 112 pixels; `FIRST_EXAMPLE` if no name is given.

    Raises:
        ImageError: there is no such scene.
    """
    names = example_names()
    if not names:
        raise ImageError("this installation holds no example scenes; reinstall llavit-lens")
    if name is not None and name not in names:
        raise ImageError(_unknown(name, names))
    return example_folder() / f"{name or FIRST_EXAMPLE}.png"


def example_of(image: Path | None) -> str | None:
    """The scene that a command reads, by the file of its image; None: it is another image.

    A command without an image reads the first scene.
    """
    if image is None:
        return FIRST_EXAMPLE
    is_example = image.parent == example_folder() and image.stem in _names()
    return image.stem if is_example else None


def sharper_path(path: Path) -> Path:
    """The same example image, drawn for people; models see the other one."""
    return path.with_name(f"{path.stem}@4x.png")


def labels_path(path: Path) -> Path:
    """What each pixel of an example image shows: 0 background, *n* the thing *n* - 1."""
    return path.with_name(f"{path.stem}@things.png")


def named_example(text: str) -> Path | None:
    """The image that `example:NAME` stands for; None for any other text.

    A file whose name begins so is opened by `./example:NAME`, or as a `Path`.

    Raises:
        ImageError: there is no such scene.
    """
    if not text.startswith(EXAMPLE_PREFIX):
        return None
    return example_path(text.removeprefix(EXAMPLE_PREFIX))


def _unknown(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{shown(name)}: no such example scene; {hint}there are: {', '.join(names)}"
