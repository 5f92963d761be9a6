"""Figures and views of images in tiles, wherever the whole image stands; and of tokens that are no
patches, which have no figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from made_layouts import layout_of_views, quarters, words_on
from made_up_words import made_up_words
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from PIL import Image

import llavit_lens as ll
from llavit_lens.figures.attention_map import draw_attention
from llavit_lens.figures.patch_values import tiles_of
from llavit_lens.results.attention_patterns import AttentionPatterns, QueryToken
from llavit_lens.viewer.start import telling_patch
from llavit_lens.viewer.wording import patch_name


@pytest.fixture(scope="module")
def words() -> ll.Words:
    return made_up_words(4, 4, 2)


def patches(figure: Figure) -> int:
    """How many the first panel has."""
    return next(
        len(c.get_paths())
        for ax in figure.axes
        for c in ax.collections
        if isinstance(c, PolyCollection)
    )


def names(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


@pytest.mark.parametrize(("place", "name"), [("first", "whole image"), ("last", "whole image")])
def test_the_whole_image_is_drawn_unless_tiles_are_asked_for(
    words: ll.Words, place: str, name: str
) -> None:
    read = words_on(words, quarters(place, size=(56, 56)))
    figure = read.plot(-1)
    assert patches(figure) == 16 and f", {name}" in names(figure)
    figure = read.plot(-1, tile="grid")
    assert patches(figure) == 64 and ", in tiles" in names(figure)
    assert read.at(-1, 1, 2) == read.at(-1, 1, 2, tile=read.layout.whole)


def test_without_a_whole_image_all_tiles_are_drawn(words: ll.Words) -> None:
    read = words_on(words, quarters("none", size=(56, 56)))
    figure = read.plot(-1)
    assert patches(figure) == 64 and ", in tiles" in names(figure)
    assert tiles_of(read.layout) == [("grid", "in tiles")]
    assert "tile=" in next(line for line in read._next() if ".at(" in line)


@pytest.mark.parametrize("place", ["first", "last", "none"])
def test_a_view_knows_the_whole_image_and_starts_there(words: ll.Words, place: str) -> None:
    read = words_on(words, quarters(place, size=(56, 56)))
    layout = read.layout
    payload = read.show().view["panes"][0]
    assert payload.get("whole", 0) == layout.whole and "covered" not in payload
    patch = telling_patch(read, read.layers[-1])
    assert layout.in_detail[patch] == (place == "none")
    assert patch_name(layout, patch).endswith(layout.tile_name(int(layout.tile[patch])))


def test_tiles_that_overlap_are_drawn_once(words: ll.Words) -> None:
    parts = [((0, 0, 56, 28), (2, 4)), ((0, 0, 36, 28), (2, 3)), ((20, 0, 56, 28), (2, 3))]
    read = words_on(words, layout_of_views(parts, (56, 28), 0))
    assert patches(read.plot(-1, tile="grid")) == 6 + 6 - 2
    assert len(read.show().view["panes"][0]["covered"]) == 2


@pytest.mark.parametrize(("size", "grid"), [((1600, 100), (2, 32)), ((100, 1600), (32, 2))])
def test_images_of_extreme_shape_fit_on_a_page(
    words: ll.Words, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    read = words_on(words, layout_of_views([((0, 0, *size), grid)], size))
    width, height = read.plot(-1).get_size_inches()
    assert width <= 26.1 and height <= 40
    assert patches(read.plot(-1)) == 64


@pytest.fixture
def queries(words: ll.Words) -> ll.Words:
    layout = ll.VisualLayout.without_map(np.arange(5, 69), (56, 56))
    return words_on(words, layout)


def test_tokens_without_a_map_have_words_by_token(queries: ll.Words) -> None:
    table = queries.by_token()
    assert table.index.names == ["token", "query"]
    assert table.index[3] == (8, 3) and len(table) == 64
    assert len(queries.to_pandas()) == queries.ids.size
    assert ll.Words.load(queries.to_bytes()) == queries
    html = queries._repr_html_()
    assert "There is no figure: 64 visual tokens are queries" in html and "<table" in html
    assert not any("plot" in line or "show" in line or ".at(" in line for line in queries._next())


CALLS: dict[str, Callable[[ll.Words], object]] = {
    "at": lambda words: words.at(-1, 0, 0),
    "plot": lambda words: words.plot(),
    "plot several": lambda words: words.plot([0, 1], tile="grid"),
    "show": lambda words: words.show(),
    "plot after load": lambda words: replace(words, image=None).plot(),
    "show after load": lambda words: replace(words, image=None).show(),
    "compare": lambda words: ll.compare(words, words).plot(),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_needs_a_map_is_refused_in_one_line(queries: ll.Words, call: str) -> None:
    with pytest.raises(ll.ConfigurationError) as refusal:
        CALLS[call](queries)
    assert str(refusal.value) == (
        "64 visual tokens are queries that read the whole image (a resampler), not patches: "
        "words by token (words.by_token()), no map"
    )


def test_attention_on_tokens_without_a_map_has_numbers_and_no_figure(queries: ll.Words) -> None:
    last = QueryToken("last", 70, "last token", ":", -1)
    patterns = AttentionPatterns(
        [0], [0], [last], np.full((1, 1, 1, 64), 0.01, np.float32),
        np.full((1, 1, 1), 0.64, np.float32), queries.layout, 1, 71,
        Image.new("RGB", (56, 56)), "m", "?",
    )  # fmt: skip
    assert patterns.at().sum() == pytest.approx(0.64)
    with pytest.raises(ll.ConfigurationError, match="no map"):
        draw_attention(replace(patterns, image=None))  # nor is an image asked for
    assert not any("plot" in line for line in patterns._next())
    there = replace(
        patterns, layout=quarters(side=4, size=(56, 56)), weights=np.zeros((1, 1, 1, 80))
    )
    assert len(draw_attention(there).axes) >= 3  # the image, the whole one, and the tiles
