"""Names that documents of version 0.1 promised still work, and say what they are called now."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

import llavit_lens as ll
from llavit_lens.images.layout import VisualLayout


@pytest.mark.parametrize("old, new", ll._RENAMED.items())
def test_top_level_names(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is now llavit_lens.{new}"):
        value = getattr(ll, old)
    assert value is getattr(ll, new)
    assert new in ll.__all__ and old not in ll.__all__


@pytest.mark.parametrize(
    "old, new, name",
    [
        ("miniature.scenes", "miniature.world.scenes", "example_path"),
        ("miniature.fingerprint", "miniature.world.fingerprint", "world_fingerprint"),
    ],
)
def test_modules(old: str, new: str, name: str) -> None:
    sys.modules.pop(f"llavit_lens.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"is now llavit_lens.{new}"):
        module = importlib.import_module(f"llavit_lens.{old}")
    assert getattr(module, name) is getattr(importlib.import_module(f"llavit_lens.{new}"), name)


def test_attributes_of_layouts() -> None:
    one = np.zeros(1, dtype=np.int64)
    layout = VisualLayout(
        one, one, one, one, ((1, 1),), (4, 4), np.array([[0.0, 0, 4, 4]]), one + 7
    )
    with pytest.warns(DeprecationWarning, match="on_picture is now on_image"):
        assert layout.on_picture.tolist() == [True]
    with pytest.warns(DeprecationWarning, match="off_picture is now off_image"):
        assert layout.off_picture.tolist() == [7]
