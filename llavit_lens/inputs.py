"""Names on a command line, checked before anything slow is imported or loaded."""

from __future__ import annotations

import os
import re
from importlib.resources import files
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex

from llavit_lens.disk import check_file, check_target, is_web_address, shown, user_path
from llavit_lens.errors import CheckpointError, ConfigurationError, ImageError

FIGURES, TABLES, PAGES = (".png", ".pdf", ".svg"), (".csv", ".parquet"), (".html",)
"""Suffixes of what commands write."""

DEFAULT_PROMPT = "What is in the picture?"
"""The question where none is asked."""
DEMO_PREFIX = "demo:"
_HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")


def check_model(name: str | Path) -> None:
    """Refuse a name that no model can have, without looking into files or at the Hub.

    Raises:
        CheckpointError: as `demo_folder` and `local_model`.
    """
    if is_demo(name):
        demo_folder(name)
    else:
        local_model(name, "a vision-language model")


def is_demo(name: str | Path) -> bool:
    """Whether a name has the form of a demo model's; the model may be missing."""
    return str(name).startswith(DEMO_PREFIX)


def is_hub_name(name: str | Path) -> bool:
    """Whether a name has the form of those on the Hub, owner/name; it may be a folder's, too."""
    return _HUB_NAME.fullmatch(str(name)) is not None


def demo_folder(name: str | Path) -> Path:
    """The folder of `demo:NAME`.

    Raises:
        CheckpointError: there is no such demo model.
    """
    folder = demo_folders().get(str(name).removeprefix(DEMO_PREFIX))
    if folder is None:
        names = ", ".join(f"{DEMO_PREFIX}{one}" for one in sorted(demo_folders()))
        raise CheckpointError(
            f"{shown(name)}: no such demo checkpoint; there are: "
            f"{names or 'none in this installation'}"
        )
    return folder


def demo_folders() -> dict[str, Path]:
    """The demo checkpoints shipped with the package, by name."""
    root = Path(str(files("llavit_lens"))) / "assets" / "checkpoints"
    return {path.parent.name: path.parent for path in root.glob("*/config.json")}


def local_model(name: str | Path, what: str) -> Path | None:
    """The folder `name`; None if there is none and it is a name of the Hub (owner/name).

    Raises:
        CheckpointError: it is neither; `what` says in the message what the name is for.
    """
    path = user_path(name, what=f"the name of {what}", error=CheckpointError)
    if path.is_dir():
        return path
    if path.exists():
        raise CheckpointError(f"{shown(name)}: is a file; give the checkpoint's folder")
    if is_web_address(name):
        raise CheckpointError(
            f"{shown(name)}: web addresses are not opened; give {what} by its name on the Hub "
            "(owner/name), or by the folder that it is in"
        )
    if not is_hub_name(name):
        raise CheckpointError(
            f"{shown(name)}: there is no such folder. Give the folder of {what}, or its name on "
            "the Hugging Face Hub, which has the form owner/name"
        )
    return None


def is_figure(out: Path) -> bool:
    """Whether a figure is written under this name, not a table."""
    return out.suffix.lower() in FIGURES


def check_out(out: Path | None, suffixes: tuple[str, ...]) -> None:
    """Refuse a file that cannot be written before any work is done; None is not checked.

    Raises:
        ConfigurationError: another suffix than those given, no such folder, or it cannot be
            written to.
    """
    if out is None:
        return
    name = shown(out)
    if out.suffix.lower() not in suffixes:
        raise ConfigurationError(
            f"cannot write {name}: its name has to end in {', '.join(suffixes)}"
        )
    target = check_target(out)
    if not target.parent.is_dir():
        raise ConfigurationError(f"cannot write {name}: there is no folder {shown(out.parent)}")
    _check_writable(target.parent, name)


def check_new_folder(out: Path) -> None:
    """Refuse a folder to write that is there already, unless it is empty, or cannot be made.

    Raises:
        ConfigurationError: it is, or there is no folder to make it in, or no permission.
    """
    target = user_path(out, what="the folder to write").absolute()
    name = shown(out)
    if target.exists() or target.is_symlink():
        empty = target.is_dir() and not target.is_symlink() and not any(target.iterdir())
        if not empty:
            raise ConfigurationError(f"{name}: is there already; choose another folder")
    if not target.parent.is_dir():
        raise ConfigurationError(f"{name}: there is no folder {shown(target.parent)}")
    _check_writable(target.parent, name)


def check_folder(folder: Path) -> None:
    """Refuse a folder to read that is not there.

    Raises:
        ConfigurationError: it is not, or is no folder.
    """
    path = user_path(folder, what="the folder to read")
    if not path.is_dir():
        fault = "is a file, not a folder" if path.exists() else "no such folder"
        raise ConfigurationError(f"{shown(folder)}: {fault}")


def check_image_or_folder(path: Path) -> None:
    """Refuse what is neither a file that can be read nor a folder.

    Raises:
        ImageError: it is not.
    """
    if not user_path(path, what="the image", error=ImageError).is_dir():
        check_file(path, error=ImageError)


def check_out_folder(out: Path | None) -> None:
    """Refuse a folder that cannot be made or written to; None is not checked. Nothing is made yet.

    Raises:
        ConfigurationError: something else is there or above it, or it cannot be written to.
    """
    if out is None:
        return
    target = user_path(out, what="the folder to write")
    top = Path(*target.parts[:1])
    if top.name.startswith("~") and not top.exists():
        raise ConfigurationError(
            f"cannot write to the folder {shown(out)}: there is no folder {shown(top)}; only ~/ "
            "stands for a home folder"
        )
    for above in (target, *target.absolute().parents):
        if above.exists() or above.is_symlink():
            if not above.is_dir():
                raise ConfigurationError(
                    f"cannot write to the folder {shown(out)}: {shown(above)} is no folder"
                )
            _check_writable(above, shown(out))
            return


def check_text(text: str | None, what: str) -> None:
    """Refuse a text with bytes that are not UTF-8, as a shell may pass them; None is not checked.

    Raises:
        ConfigurationError: it is not.
    """
    try:
        (text or "").encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"{what} {shown(text or '')}: is not text in UTF-8") from error


def _check_writable(folder: Path, name: str) -> None:
    if not os.access(
        folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
    ):
        raise ConfigurationError(
            f"cannot write {name}: no permission in the folder {shown(folder)}"
        )


def whole_number(value: Any, name: str) -> int:
    """The number. Raises ConfigurationError for anything else: a text, a fraction, True, None."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ConfigurationError(f"{name}={value!r}: give a whole number")
    return index(value)
