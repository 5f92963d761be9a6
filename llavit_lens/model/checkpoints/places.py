"""Local folders of what a checkpoint is or names: a folder as it is, a Hub name from its cache."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

from llavit_lens.errors import CheckpointError, one_line
from llavit_lens.model.checkpoints.read import WEIGHT_FILES

_HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")
_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]


def local_folder(name: str | Path, what: str) -> Path:
    """The folder `name`, or the Hub repository of that name after it was fetched.

    Of weights in two formats only the safetensors are fetched.

    Raises:
        CheckpointError: there is neither; `what` says in the message what was looked for.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if not _HUB_NAME.fullmatch(str(name)):
        raise CheckpointError(f"{name}: no such folder, and not a Hub name (owner/name): {what}")
    try:
        files = HfApi().list_repo_files(str(name))
        weights = "*.safetensors" if any(f.endswith(".safetensors") for f in files) else "*.bin"
        return Path(snapshot_download(str(name), allow_patterns=[*_SMALL_FILES, weights]))
    except (RepositoryNotFoundError, HFValidationError):
        reason = "no such model on the Hugging Face Hub"
    except Exception as error:  # no connection, in one of many words; or a full disk
        cached = _from_cache(str(name))
        if cached is not None:
            return cached
        reason = (
            f"the Hugging Face Hub cannot be reached ({one_line(error)}), "
            "and its cache here does not hold it"
        )
    raise CheckpointError(f"{name}: no such folder here; {reason}: {what}")


def _from_cache(name: str) -> Path | None:
    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    except Exception:  # nothing of it is there
        return None
    whole = any(
        (folder / f).is_file() or (folder / f"{f}.index.json").is_file() for f in WEIGHT_FILES
    )
    return folder if whole else None
