"""Local folders of checkpoints: a folder as it is, a Hub repository after it was fetched.

Everything that is loaded or converted is a local folder first, so no other file deals with the Hub.
"""

from __future__ import annotations

import errno
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from llavit_lens.errors import CheckpointError, ConfigurationError, one_line
from llavit_lens.inputs import local_model
from llavit_lens.model.checkpoints.detect import PROJECTOR_FILE
from llavit_lens.model.checkpoints.weights import WEIGHT_FILES
from llavit_lens.model.progress import download_bar

_HUB_TIMEOUT_SECONDS = 10
_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
# Whole or in shards; copies of the weights in further formats and subfolders stay where they are.
_SAFETENSORS = ["model*.safetensors"]
_BIN = ["pytorch_model*.bin", PROJECTOR_FILE]


def local_folder(
    name: str | Path, what: str, revision: str | None = None, *, weights: bool = True
) -> Path:
    """The folder `name`, or the Hub repository of that name after it was fetched.

    Of weights in two formats only the safetensors are fetched.

    Args:
        name: the folder, or owner/name.
        what: what was looked for, in messages.
        revision: commit, branch or tag of the repository; default: its main branch.
        weights: False for all other files alone.

    Raises:
        CheckpointError: there is neither, or no such revision.
        ConfigurationError: a revision of a folder.
    """
    folder = local_model(name, what)
    if folder is not None and revision is not None:
        raise ConfigurationError(
            f"{name}: revision={revision!r} is for models on the Hub, and this is a folder here; "
            "leave it out"
        )
    if folder is not None:
        return folder
    try:
        # Asked first: without a connection this fails at once, and not file by file.
        listed = (
            HfApi().model_info(str(name), revision=revision, timeout=_HUB_TIMEOUT_SECONDS).siblings
            or []
        )
        has_safetensors = any(fnmatch(file.rfilename, *_SAFETENSORS) for file in listed)
        heavy = _SAFETENSORS if has_safetensors else _BIN
        patterns = [*_SMALL_FILES, *(heavy if weights else ())]
        return Path(
            snapshot_download(
                str(name),
                revision=revision,
                allow_patterns=patterns,
                tqdm_class=download_bar(),
            )
        )
    except GatedRepoError:
        reason = (
            ". The Hugging Face Hub gives it only to those who accepted its terms; accept them on "
            "its page there, and log in (hf auth login)"
        )
    except RevisionNotFoundError:
        raise CheckpointError(
            f"{name}: its repository on the Hugging Face Hub has no revision {revision!r}; give a "
            "commit, a branch or a tag"
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        reason = (
            ". There is no such model on the Hugging Face Hub (a private one needs: hf auth login)"
        )
    except Exception as error:  # no connection, in one of many classes; or a full disk
        cached = _from_cache(str(name), revision, weights)
        if cached is not None:
            return cached
        is_full = getattr(error, "errno", None) == errno.ENOSPC
        fault = one_line(error) if is_full else "no network?"
        part = "" if revision is None else f" its revision {revision!r} is"
        reason = (
            f", and{part} not in the Hub's cache on this machine. "
            f"The Hub cannot be reached ({fault})"
        )
    # "a vision-language model" is what any name stands for; "the base LLM" says which one this is
    role = "" if what.startswith("a ") else f" ({what})"
    raise CheckpointError(f"{name}{role} is not a folder here{reason}")


def _from_cache(name: str, revision: str | None, weights: bool) -> Path | None:
    try:
        folder = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except Exception:  # nothing of it is there
        return None
    indices = [f"{file}.index.json" for file in WEIGHT_FILES]
    has_weights = any(
        (folder / file).is_file() for file in (*WEIGHT_FILES, *indices, PROJECTOR_FILE)
    )
    return folder if has_weights or not weights else None
