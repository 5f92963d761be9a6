"""A checkpoint to convert, and shards small enough that a tiny model has several."""

from __future__ import annotations

from pathlib import Path

import pytest
from llava_layouts import reference, write_original

from llavit_lens.model.checkpoints import convert as convert_module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An original checkpoint in two shards, with its tower beside it."""
    place = tmp_path_factory.mktemp("original")
    return write_original(place / "original", reference(), suffix="safetensors", shards=2)


@pytest.fixture
def several_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_module, "SMALLEST_LIMIT", 40_000)
