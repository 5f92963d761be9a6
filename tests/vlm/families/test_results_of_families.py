"""In every family: words are saved and loaded, and drawn on the image."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from family_cases import CASES, READ
from family_images import read_only_trace

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError


@pytest.mark.parametrize("name", READ)
def test_words_are_saved_and_loaded(name: str, tmp_path: Path) -> None:
    words = ll.logit_lens(read_only_trace(name), k=2)
    words.save(tmp_path / "words.parquet")
    again = ll.Words.load(tmp_path / "words.parquet")
    assert again.layout == words.layout
    assert again.layout.whole == words.layout.whole
    assert again.layout.precision == words.layout.precision
    assert np.array_equal(again.ids, words.ids)
    assert np.array_equal(again.values, words.values)
    assert again.strings == words.strings


@pytest.mark.parametrize("name", READ)
def test_words_are_drawn_on_the_image(name: str) -> None:
    """Each patch of the tile that is drawn has its word; without a map the figure is refused."""
    words = ll.logit_lens(read_only_trace(name), k=1, layers=-1)
    if CASES[name].kind == "no map":
        with pytest.raises(ConfigurationError, match="by_token"):
            words.plot()
        return
    figure = words.plot()
    figure.draw_without_rendering()
    assert any(axes.get_images() for axes in figure.axes)
    assert sum(len(axes.texts) for axes in figure.axes) > 0
    plt.close(figure)
