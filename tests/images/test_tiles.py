"""Which tokens are meant where the whole image is the first tile, the last, or none."""

import numpy as np
import pytest
from made_layouts import layout_of_views, quarters

import llavit_lens as ll
from llavit_lens.images.regions import Box, cells_of
from llavit_lens.results.matching import partners

N = 16  # patches of a tile
PLACES = {"first": 0, "last": 4}


@pytest.mark.parametrize("place", PLACES)
def test_without_a_tile_the_whole_image_is_meant(place: str) -> None:
    layout, whole = quarters(place), PLACES[place]
    assert layout.view == whole
    assert layout.index(1, 2) == whole * N + 6 == layout.index(1, 2, whole)
    assert np.array_equal(layout.of_tile(), np.arange(N) + whole * N)
    assert np.array_equal(layout.of_tile("grid"), np.flatnonzero(layout.tile != whole))
    assert np.array_equal(layout.in_detail, layout.tile != whole)
    assert [layout.tile_name(t) for t in (whole, 2, "grid")] == [
        "whole image",
        "tile 2",
        "in tiles",
    ]


def test_where_no_tile_is_the_whole_image_all_are_shown() -> None:
    layout = quarters("none")
    assert layout.view == "grid" and layout.in_detail.all()
    assert np.array_equal(layout.of_tile(), np.arange(4 * N))
    assert layout.index(1, 2) == 6  # of tile 0
    assert layout.tile_name(0) == "tile 0"


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("first", "tiles 0 to 4, or 'grid' for 1 to 4"),
        ("last", "tiles 0 to 4, or 'grid' for 0 to 3"),
        ("none", "tiles 0 to 3, or 'grid' for all of them"),
    ],
)
def test_a_tile_that_is_not_there_is_refused_with_those_that_are(place: str, named: str) -> None:
    with pytest.raises(ll.ConfigurationError, match=f"no tile 9: the image has {named}"):
        quarters(place).of_tile(9)


def test_tiles_of_other_shapes_have_rows_and_columns_of_their_own() -> None:
    layout = layout_of_views(
        [((0, 0, 40, 60), (3, 2)), ((40, 0, 80, 60), (6, 4)), ((0, 0, 80, 60), (9, 16))],
        (80, 60),
        2,
    )
    assert layout.index(-1, -1) == len(layout) - 1
    assert layout.index(5, 3, 1) == 6 + 24 - 1
    with pytest.raises(ll.ConfigurationError, match="the grid has 3 rows and 2 columns"):
        layout.index(5, 3, 0)
    assert len(layout.of_tile("grid")) == 6 + 24


@pytest.mark.parametrize("place", [*PLACES, "none"])
def test_a_box_has_patches_of_every_tile(place: str) -> None:
    layout = quarters(place)
    cells = cells_of(layout, Box(0, 0, 20, 20))
    number = {tile: int((layout.tile[cells] == tile).sum()) for tile in range(len(layout.grid))}
    whole = layout.whole
    first = 1 if whole == 0 else 0  # the tile at the top left
    assert number.pop(first) == 4
    assert whole is None or number.pop(whole) == 1
    assert not any(number.values())


def test_partners_are_of_the_same_kind_wherever_the_whole_image_stands() -> None:
    first, last, none = (quarters(place) for place in ("first", "last", "none"))
    there = partners(first, last)
    assert np.array_equal(last.boxes[there], first.boxes)
    assert np.array_equal(last.in_detail[there], first.in_detail)
    assert np.array_equal(partners(last, first)[there], np.arange(len(first)))
    # all of it that the other has
    assert np.array_equal(none.boxes[partners(none, last)], none.boxes)
    assert len(set(partners(first, none)[:N].tolist())) == N


def test_without_a_map_there_are_no_cells_regions_and_partners() -> None:
    queries = ll.VisualLayout.without_map(np.arange(5, 69), (80, 80))
    calls = (
        lambda: queries.index(0, 0),
        lambda: queries.of_tile(),
        lambda: queries.of_tile(0),
        lambda: cells_of(queries, Box(0, 0, 40, 40)),
        lambda: cells_of(queries, [(0, 0)]),
        lambda: ll.Mask(np.ones((80, 80), bool)).area(queries),
        lambda: partners(quarters(), queries),
        lambda: partners(queries, quarters()),
    )
    for call in calls:
        with pytest.raises(ll.ConfigurationError, match=r"64 visual tokens are queries .*no map$"):
            call()


@pytest.mark.parametrize("whole", [0, 2])
def test_where_tiles_overlap_a_place_has_one_patch(whole: int) -> None:
    parts = [((0, 0, 60, 40), (4, 6)), ((30, 0, 90, 40), (4, 6))]  # by three columns
    parts.insert(whole, ((0, 0, 90, 40), (4, 9)))
    layout = layout_of_views(parts, (90, 40), whole)
    second = layout.tile == (1 if whole == 2 else 2)
    assert np.array_equal(layout.covered, second & (layout.col < 3))
    together = layout.cells_drawn("grid")
    assert len(together) == 4 * 9 and len(layout.of_tile("grid")) == 4 * 12
    left, top, right, bottom = layout.boxes[together].T
    assert ((right - left) * (bottom - top)).sum() == pytest.approx(90 * 40)
    for tile in range(3):  # alone each is whole
        assert np.array_equal(layout.cells_drawn(tile), layout.of_tile(tile))
    assert not any(quarters(place).covered.any() for place in (*PLACES, "none"))
