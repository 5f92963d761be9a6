"""`VisualLayout`: which tile is the whole image, how boxes are known, tokens without a map."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_words import MakeWords

import llavit_lens as ll
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.check import check_layout


@pytest.fixture
def one_tile(make_words: MakeWords) -> VisualLayout:
    return make_words(grid=(2, 3), size=(60, 40)).layout


@pytest.fixture
def queries() -> VisualLayout:
    return VisualLayout.without_map(np.arange(5, 69), (60, 40))


def read_back(layout: VisualLayout) -> VisualLayout:
    return VisualLayout.from_dict(json.loads(json.dumps(layout.to_dict())))


def test_one_tile_shows_the_whole_image_and_its_boxes_are_exact(one_tile: VisualLayout) -> None:
    assert (one_tile.whole, one_tile.precision, one_tile.has_map) == (0, "exact", True)
    assert "whole" not in one_tile.to_dict() and "precision" not in one_tile.to_dict()
    assert read_back(one_tile) == one_tile


@pytest.mark.parametrize("fields", [{"whole": None}, {"precision": "measured"}], ids=str)
def test_what_is_not_usual_is_in_the_file_and_makes_another_layout(
    one_tile: VisualLayout, fields: dict[str, object]
) -> None:
    other = replace(one_tile, **fields)  # type: ignore[arg-type]
    assert other != one_tile
    assert read_back(other) == other
    (name,) = fields
    assert getattr(read_back(other), name) == fields[name]


def test_measured_boxes_say_so(one_tile: VisualLayout) -> None:
    measured = replace(one_tile, precision="measured")
    assert (
        repr(one_tile)
        == "VisualLayout(6 visual tokens, 2 x 3 patches, on an image of 60 x 40 pixels)"
    )
    assert repr(measured) == repr(one_tile)[:-1] + "; measured: boxes within 1 pixel)"
    assert "measured: boxes within 1 pixel" in measured._repr_html_()


def test_tokens_without_a_map_say_so(queries: VisualLayout) -> None:
    assert len(queries) == 64 and queries.positions.dtype == np.int64
    assert (queries.grid, queries.whole, queries.has_map) == (((1, 64),), None, False)
    assert queries.on_image.all()  # none shows padding only
    assert repr(queries) == (
        "VisualLayout(64 visual tokens, no patches: each reads the whole image, on an image of "
        "60 x 40 pixels)"
    )
    assert "tile 0" not in queries._repr_html_() and "patches, 64" not in queries._repr_html_()
    check_layout(read_back(queries))
    assert read_back(queries) == queries


def test_a_map_is_refused_with_what_to_do(queries: VisualLayout, one_tile: VisualLayout) -> None:
    one_tile.check_map()
    with pytest.raises(ll.ConfigurationError) as refusal:
        queries.check_map()
    assert str(refusal.value) == (
        "64 visual tokens are queries that read the whole image (a resampler), not patches: "
        "words by token (words.by_token()), no map"
    )


def test_places_may_be_unknown() -> None:
    unknown = VisualLayout.without_map(np.arange(4), (60, 40), precision="unknown")
    assert not unknown.has_map and read_back(unknown) == unknown
    check_layout(unknown)
    assert "4 visual tokens, at places that are not known, on an image" in repr(unknown)
    with pytest.raises(ll.ConfigurationError, match=r"is not described here .*by_token"):
        unknown.check_map()


def test_the_card_names_the_tile_that_shows_the_whole_image(one_tile: VisualLayout) -> None:
    many = replace(one_tile, grid=((2, 3),) * 17, whole=16)
    html = many._repr_html_()
    assert "tile 16" in html and html.count("the whole image") == 1 and "5 more" in html
    assert "the whole image" not in one_tile._repr_html_()  # nothing to tell apart


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"whole": 1}, "no such whole tile"),
        ({"whole": -1}, "no such whole tile"),
        ({"whole": True}, "no such whole tile"),
        ({"precision": "good"}, "no known precision"),
        ({"precision": "none"}, "a map of tokens that are no patches"),
    ],
    ids=str,
)
def test_a_layout_that_contradicts_itself_is_refused(
    one_tile: VisualLayout, fields: dict[str, object], fault: str
) -> None:
    check_layout(one_tile)
    with pytest.raises(ll.ConfigurationError, match=fault):
        check_layout(replace(one_tile, **fields))  # type: ignore[arg-type]
