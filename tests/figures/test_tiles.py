"""Figures of pictures that a model sees in tiles."""

from __future__ import annotations

import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from tiny import tiny_image
from tiny_vlm import tiled_vlm

from llavit_lens.commands.input_similarity import _surest_patches
from llavit_lens.errors import ConfigurationError
from llavit_lens.figures import draw_patch_words, draw_selected_patches, draw_word_panels
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.results.words import Words
from llavit_lens.typed_numbers import parse_patch


@pytest.fixture(scope="module")
def words() -> Words:
    """Of 60 x 30 pixels in two tiles; padding and newlines are there to be left out."""
    return logit_lens(tiled_vlm("spatial_unpad").trace(tiny_image(0, 60, 30)), k=2)


@pytest.fixture(scope="module")
def padded() -> Words:
    """Of 56 x 32 pixels in 2 x 2 tiles, of which the first and last rows show padding."""
    return logit_lens(tiled_vlm("flat").trace(tiny_image(0, 56, 32)), k=2)


def words_on(figure: Figure) -> tuple[list[Text], list[Path]]:
    """The labels of the first panel, and its tinted patches."""
    (panel, tints), *_ = [
        (ax, c) for ax in figure.axes for c in ax.collections if isinstance(c, PolyCollection)
    ]
    return panel.texts, tints.get_paths()


@pytest.mark.long
def test_a_tile_or_the_grid_of_tiles(words: Words) -> None:
    names = {0: "whole image", 1: "tile 1", 2: "tile 2", "grid": "in tiles"}
    for tile, patches in ((0, 16), (1, 16), (2, 16), ("grid", 32)):
        figure = draw_patch_words(words, layer=-1, tile=tile)  # type: ignore[arg-type]
        assert len(words_on(figure)[1]) == patches
        assert any(t.get_text().endswith(names[tile]) for t in figure.texts)
    labels, corners = words_on(draw_patch_words(words, layer=-1, tile=2))
    assert labels and all(30 <= text.get_position()[0] <= 60 for text in labels)
    assert min(path.vertices[:, 0].min() for path in corners) == 30
    with pytest.raises(ConfigurationError, match="no tile 3"):
        draw_patch_words(words, layer=-1, tile=3)
    draw_word_panels([("m", [(words, 0), (words, 1)])], tile="grid")
    words.plot(layer=0, tile="grid")


def test_padding_has_no_words(padded: Words) -> None:
    # 8 rows of 7 pixels, 12 of them padding above: 5, 7, 7, 7, 6 pixels of the picture are left
    figure = draw_patch_words(padded, layer=-1, tile="grid")
    boxes = padded.layout.boxes[padded.layout.of_tile("grid")]
    heights = sorted({round(bottom - top, 6) for _, top, _, bottom in boxes})
    assert heights[0] == 0
    shown = sum(bottom - top > 7 / 4 for _, top, _, bottom in boxes)
    assert len(words_on(figure)[1]) == shown < len(boxes)


@pytest.mark.long
def test_selected_patches_say_their_tile(words: Words, padded: Words) -> None:
    cosine = input_similarity(tiled_vlm("spatial_unpad").trace(tiny_image(0, 60, 30)), k=2)
    columns = [("m", cosine, words)]
    figure = draw_selected_patches(columns, patches=[(1, 1), (1, 1, 2)], k=2)
    assert figure.axes[0].patches  # numbered boxes
    boxes = [p.get_bbox().bounds for p in figure.axes[0].patches if p.get_linewidth() == 1.8]
    assert boxes == [(15, 7.5, 15, 7.5), pytest.approx((37.5, 7.5, 7.5, 7.5), abs=0.5)]
    with pytest.raises(ConfigurationError, match="in the padding around the image"):
        draw_selected_patches([("m", padded, padded)], patches=[(0, 0, 1)], k=1)
    other = logit_lens(tiled_vlm("spatial").trace(tiny_image(0, 61, 29)), k=2)
    other.provenance = words.provenance
    with pytest.raises(ConfigurationError, match="b sees other patches of the image than a"):
        draw_selected_patches([("a", words, words), ("b", other, other)], patches=[(1, 1)], k=1)


def test_surest_patches_are_on_the_picture(padded: Words) -> None:
    padded.values[0, :16] = -9.0  # not the base tile
    rows = _surest_patches(padded)
    boxes = [padded.layout.boxes[padded.layout.index(*patch)] for patch in rows]
    assert all(tile > 0 for _, _, tile in rows)
    assert all(left < right and top < bottom for left, top, right, bottom in boxes)


def test_patches_as_they_are_typed() -> None:
    assert parse_patch("3,5") == (3, 5)
    assert parse_patch("3, -1, 2") == (3, -1, 2)
    for text in ("3", "3,5,2,1", "3,x", ""):
        with pytest.raises(ConfigurationError, match="a row and a column"):
            parse_patch(text)
