"""The order of the tokens of tiles, against LLaVA-NeXT's own packing and against plain loops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import PINPOINTS
from transformers import LlavaNextConfig
from transformers.models.llava_next.modeling_llava_next import LlavaNextModel

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.tiles import NEWLINE, default_pinpoints, tile_grid, token_order

TILE, SIDE = 28, 4
# from a square to strips far thinner than a patch
edges = st.one_of(st.integers(1, 200), st.sampled_from([1, 2, 3, 1000, 4000]))
sizes = st.tuples(edges, edges)
pinpoint = st.tuples(st.integers(1, 5), st.integers(1, 5)).map(lambda s: [s[0] * TILE, s[1] * TILE])
pinpoint_lists = st.one_of(st.just(PINPOINTS), st.lists(pinpoint, min_size=1, max_size=6))


def next_packing(
    size: tuple[int, int], grid: tuple[int, int], pinpoints: list[list[int]]
) -> list[int]:
    """What transformers' LLaVA-NeXT makes of features that are the numbers 0, 1, 2, …"""
    rows, cols = grid
    features = torch.arange((1 + rows * cols) * SIDE * SIDE).view(-1, SIDE * SIDE, 1)
    vision = SimpleNamespace(image_size=TILE, patch_size=TILE // SIDE)
    config = SimpleNamespace(vision_config=vision, image_grid_pinpoints=pinpoints)
    (packed,), lengths = LlavaNextModel.pack_image_features(
        SimpleNamespace(config=config),
        [features],
        torch.tensor([size]),
        vision_feature_select_strategy="default",
        image_newline=torch.tensor([NEWLINE]),
    )
    assert lengths.tolist() == [len(packed)]
    return packed[:, 0].tolist()


@given(sizes, pinpoint_lists)
def test_spatial_unpad_is_llava_nexts(size: tuple[int, int], pinpoints: list[list[int]]) -> None:
    grid = tile_grid(size, pinpoints, TILE)
    order = token_order(size, grid, SIDE, "spatial_unpad").tolist()
    assert order == next_packing(size, grid, pinpoints)


@pytest.mark.parametrize("grid", [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_flat_and_spatial_by_loops(grid: tuple[int, int]) -> None:
    rows, cols = grid
    base = list(range(SIDE * SIDE))
    flat = list(range((1 + rows * cols) * SIDE * SIDE))
    spatial = [
        ((1 + tile_row * cols + tile_col) * SIDE + row) * SIDE + col
        for tile_row in range(rows)
        for row in range(SIDE)
        for tile_col in range(cols)
        for col in range(SIDE)
    ]
    assert token_order((50, 70), grid, SIDE, "flat").tolist() == flat
    assert token_order((50, 70), grid, SIDE, "spatial").tolist() == base + spatial
    assert sorted(base + spatial) == flat


def test_counts_of_the_paper() -> None:
    """At 336 pixels: up to 5 x 576 without newlines; 576 + 48 x 49 with them."""
    pinpoints = default_pinpoints(336)
    assert pinpoints == LlavaNextConfig().image_grid_pinpoints

    def tokens(merge_type: str) -> int:
        grid = tile_grid((1000, 1000), pinpoints, 336)
        return len(token_order((1000, 1000), grid, 24, merge_type))

    assert tokens("flat") == tokens("spatial") == 5 * 576
    assert tokens("spatial_unpad") == 576 + 48 * 49


@pytest.mark.parametrize(
    "pinpoints", [[], [[28]], [[28, 30]], [[0, 28]], [[28, 28], [-28, 28]], [[28, 28, 28]]]
)
def test_pinpoints_that_are_no_tiles(pinpoints: Any) -> None:
    with pytest.raises(ConfigurationError, match="multiples of the vision tower's 28 pixels"):
        tile_grid((30, 30), pinpoints, TILE)
