"""Folders and Hub names: what is fetched, and what is said where nothing can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llavit_lens.errors import CheckpointError
from llavit_lens.model.checkpoints import places
from llavit_lens.model.checkpoints.places import local_folder


def hub(monkeypatch: pytest.MonkeyPatch, files: list[str], folder: Path) -> list[Any]:
    """A Hub that has one repository; returns what is asked of it."""
    asked: list[Any] = []

    def snapshot_download(name: str, allow_patterns: Any = None, **_: Any) -> str:
        asked.append((name, allow_patterns))
        return str(folder)

    monkeypatch.setattr(places.HfApi, "list_repo_files", lambda self, name: files)
    monkeypatch.setattr(places, "snapshot_download", snapshot_download)
    return asked


def test_a_folder_is_itself(tmp_path: Path) -> None:
    assert local_folder(tmp_path, "x") == tmp_path


@pytest.mark.parametrize(
    ("files", "kept", "left"),
    [
        (["a.safetensors", "pytorch_model.bin"], "*.safetensors", "*.bin"),
        (["pytorch_model.bin", "config.json"], "*.bin", "*.safetensors"),
    ],
)
def test_weights_are_fetched_once(
    files: list[str], kept: str, left: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = hub(monkeypatch, files, tmp_path)
    assert local_folder("owner/name", "x") == tmp_path
    [(name, patterns)] = asked
    assert name == "owner/name" and {kept, "*.json", "*.model"} <= set(patterns)
    assert left not in patterns and not any(".py" in pattern for pattern in patterns)


@pytest.mark.parametrize("whole", [True, False])
def test_without_a_connection_the_cache_serves_if_it_is_whole(
    whole: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub(monkeypatch, [], tmp_path)

    def no_route(*_: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(places.HfApi, "list_repo_files", no_route)
    if whole:
        (tmp_path / "model.safetensors.index.json").touch()
        assert local_folder("owner/name", "x") == tmp_path
    else:
        with pytest.raises(CheckpointError, match=r"cannot be reached.*: the tower"):
            local_folder("owner/name", "the tower")


def test_names_that_are_none(tmp_path: Path) -> None:
    for name in ("nowhere", "./nowhere", "a/b/c", "-x/y", str(tmp_path / "nowhere")):
        with pytest.raises(CheckpointError, match="no such folder, and not a Hub name"):
            local_folder(name, "x")
