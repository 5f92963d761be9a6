"""Results of a training on disk: only with the recipe that made them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from llavit_lens.disk import has_file, read_json, read_text, write_text_atomically
from llavit_lens.errors import ConfigurationError


def check_recipe(folder: Path, recipe: dict[str, Any]) -> None:
    """Note the recipe in a new folder; refuse to go on with another one in an old folder.

    Raises ConfigurationError.
    """
    path, text = folder / "recipe.json", json.dumps(recipe, indent=1)
    if not has_file(path):
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, text)
    elif read_text(path) != text:
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
            read_json(checkpoint / "trainer_state.json")
        except ConfigurationError:
            shutil.rmtree(checkpoint)
        else:
            return str(checkpoint)
    return None
