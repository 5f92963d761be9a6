"""Results on disk: there whole or not at all, and only with the recipe that made them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llavit_lens.errors import ConfigurationError


def save_whole(folder: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a folder beside `folder`, then put it in its place in one step."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    write(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def write_whole(path: Path, text: str) -> None:
    """Write a file that is never seen half written."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.rename(path)


def check_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    """Note the recipe in a new folder; refuse to go on with another one in an old folder.

    Raises ConfigurationError.
    """
    path, text = folder / "recipe.json", json.dumps(recipe, indent=1)
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    elif path.read_text() != text:
        raise ConfigurationError(
            f"{folder} was made with another recipe or preset; choose another folder, "
            "or delete that one"
        )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def last_checkpoint(folder: Path) -> str | None:
    """The newest complete checkpoint of a run; half-written ones are deleted.

    Trainer writes a checkpoint in place, and its state last.
    """
    checkpoints = sorted(
        folder.glob("checkpoint-*"), key=lambda c: int(c.name.removeprefix("checkpoint-"))
    )
    for checkpoint in reversed(checkpoints):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text())
        except (OSError, json.JSONDecodeError):
            shutil.rmtree(checkpoint)
        else:
            return str(checkpoint)
    return None
