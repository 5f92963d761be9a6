"""Folders and Hub names: what is fetched, and what is said where nothing can be."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

from llavit_lens.errors import CheckpointError
from llavit_lens.model.checkpoints import hub as places
from llavit_lens.model.checkpoints.hub import local_folder


def hub(monkeypatch: pytest.MonkeyPatch, files: list[str], folder: Path) -> list[Any]:
    """A Hub that has one repository; returns the requests it gets."""
    requests: list[Any] = []

    def snapshot_download(name: str, allow_patterns: Any = None, **_: Any) -> str:
        requests.append((name, allow_patterns))
        return str(folder)

    listed = SimpleNamespace(siblings=[SimpleNamespace(rfilename=file) for file in files])
    monkeypatch.setattr(places.HfApi, "model_info", lambda self, name, timeout, **_: listed)
    monkeypatch.setattr(places, "snapshot_download", snapshot_download)
    return requests


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert local_folder(tmp_path, "x") == tmp_path


@pytest.mark.parametrize(
    ("files", "kept", "left"),
    [
        (["model.safetensors", "pytorch_model.bin"], "model.safetensors", "pytorch_model.bin"),
        (["model-00001-of-00002.safetensors"], "model-00001-of-00002.safetensors", "x.safetensors"),
        (["pytorch_model.bin", "config.json"], "pytorch_model.bin", "model.safetensors"),
        (["mm_projector.bin", "config.json"], "mm_projector.bin", "optimizer.bin"),
        (["pytorch_model.bin", "sub/model.safetensors"], "pytorch_model.bin", "sub/pytorch.bin"),
    ],
)
def test_weights_are_fetched_once(
    files: list[str], kept: str, left: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    requests = hub(monkeypatch, files, tmp_path)
    assert local_folder("owner/name", "x") == tmp_path
    [(name, patterns)] = requests

    def fetched(file: str) -> bool:
        return any(fnmatch(file, pattern) for pattern in patterns)

    assert name == "owner/name" and fetched("config.json") and fetched("tokenizer.model")
    assert fetched(kept) and not fetched(left) and not fetched("modeling_llava.py")


@pytest.mark.parametrize("whole", ["model.safetensors.index.json", "mm_projector.bin", None])
def test_without_a_connection_the_cache_serves_if_it_is_whole(
    whole: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub(monkeypatch, [], tmp_path)

    def no_route(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(places.HfApi, "model_info", no_route)
    if whole is not None:
        (tmp_path / whole).touch()
        assert local_folder("owner/name", "x") == tmp_path
    else:
        with pytest.raises(CheckpointError, match=r"^owner/name \(the tower\) is not.* cannot be"):
            local_folder("owner/name", "the tower")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RepositoryNotFoundError, "no such model on the Hugging Face Hub"),
        (GatedRepoError, r"accept them on its page there, and log in \(hf auth login\)"),
    ],
)
def test_what_the_hub_refuses(
    error: Any, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A cached copy does not hide it."""
    hub(monkeypatch, ["model.safetensors"], tmp_path)
    (tmp_path / "model.safetensors").touch()

    def refuse(*_: Any, **__: Any) -> None:
        raise error("401", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(places, "snapshot_download", refuse)
    with pytest.raises(
        CheckpointError, match=rf"owner/name \(x\) is not a folder here\. .*{message}"
    ):
        local_folder("owner/name", "x")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(CheckpointError, match="is a file; give the checkpoint's folder"):
        local_folder(tmp_path / "model.safetensors", "x")


def test_names_that_are_none(tmp_path: Path) -> None:
    for name in ("nowhere", "./nowhere", "a/b/c", "-x/y", str(tmp_path / "nowhere")):
        with pytest.raises(CheckpointError, match=r"no such folder\. .* has the form owner/name"):
            local_folder(name, "x")
