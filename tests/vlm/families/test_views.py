"""Views of an image become a layout, or are refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.families.described import OTHER
from llavit_lens.vlm.families.reading import Reading, own_function
from llavit_lens.vlm.families.views import NO_PATCH, View, grid_of, in_views, seen_part


def reading(tokens: int, *sizes: tuple[int, int], **what: Any) -> Reading:
    processor = SimpleNamespace(image_processor=SimpleNamespace(side=14, other=None), **what)
    return Reading(
        inputs={},
        processor=processor,
        config=SimpleNamespace(model_type="mine", image_token_id=10),
        image_sizes=sizes or ((60, 40),),
        positions=np.arange(5, 5 + tokens),
    )


TWO = [View((0, 0, 60, 40), 1, 2), View((0, 0, 60, 40), 1, 1, whole=True)]


def test_views_follow_each_other_row_by_row() -> None:
    layout = in_views(reading(3), TWO)
    assert layout.tile.tolist() == [0, 0, 1] and layout.col.tolist() == [0, 1, 0]
    assert layout.boxes.tolist() == [[0, 0, 30, 40], [30, 0, 60, 40], [0, 0, 60, 40]]
    assert (layout.whole, layout.precision, layout.grid) == (1, "exact", ((1, 2), (1, 1)))
    assert layout.positions.tolist() == [5, 6, 7]


def test_an_order_may_be_any_and_hold_tokens_that_are_no_patches() -> None:
    order = np.array([[1, 0], [0, 1], NO_PATCH, [0, 0]])
    layout = in_views(reading(4), TWO, order)
    assert layout.tile.tolist() == [1, 0, 0] and layout.col.tolist() == [0, 1, 0]
    assert layout.positions.tolist() == [5, 6, 8] and layout.off_image.tolist() == [7]


def test_boxes_are_cut_at_the_border_of_the_image() -> None:
    layout = in_views(reading(4), [View((-20, -40, 80, 120), 2, 2)])
    assert layout.boxes.tolist() == [
        [0, 0, 30, 40],
        [30, 0, 60, 40],
        [0, 40, 30, 40],
        [30, 40, 60, 40],
    ]
    assert layout.on_image.tolist() == [True, True, False, False]


def test_cells_may_be_of_several_sizes() -> None:
    edges = np.array([0.0, 10, 60]), np.array([0.0, 40])
    layout = in_views(reading(2), [View((0, 0, 60, 40), 1, 2, edges=edges)])
    assert layout.boxes.tolist() == [[0, 0, 10, 40], [10, 0, 60, 40]]


@pytest.mark.parametrize("whole, wanted", [([], None), ([0, 1], None), ([1], 1)])
def test_the_whole_view_is_the_only_one_that_says_so(whole: list[int], wanted: int | None) -> None:
    views = [View((0, 0, 60, 40), 1, 1, whole=number in whole) for number in range(2)]
    assert in_views(reading(2), views).whole == wanted


@pytest.mark.parametrize("tokens", [2, 4])
def test_more_or_fewer_tokens_than_cells_are_refused(tokens: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{tokens} visual tokens are not the 3 of 1 x 2"):
        in_views(reading(tokens), TWO)


def test_views_beside_the_image_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no patch of an image"):
        in_views(reading(1), [View((70, 0, 90, 40), 1, 1)])


def test_images_take_their_tokens_in_turn() -> None:
    def layout(read: Reading) -> Any:
        return in_views(read, [View((0, 0, *read.image_size), 1, 1 + read.index)])

    family = replace(OTHER, layout=layout)
    one, two = family.layouts(reading(3, (60, 40), (30, 20)))
    assert one.positions.tolist() == [5] and two.positions.tolist() == [6, 7]
    assert two.boxes.tolist() == [[0, 0, 15, 20], [15, 0, 30, 20]]
    with pytest.raises(ConfigurationError, match="3 visual tokens are not the 2"):
        family.layouts(reading(4, (60, 40), (30, 20)))
    with pytest.raises(ConfigurationError, match="writes no token 10"):
        family.layouts(reading(0))


def test_grids_of_square_patches() -> None:
    assert grid_of(16, 56, 56) == (4, 4)
    assert grid_of(8, 28, 56) == (2, 4)
    for tokens, height in ((15, 56), (8, 56), (0, 56)):
        with pytest.raises(ConfigurationError, match=f"{tokens} visual tokens are no grid"):
            grid_of(tokens, height, 56)


def test_pixels_that_fill_no_patch_are_not_seen() -> None:
    config = SimpleNamespace(vision_config=SimpleNamespace(patch_size=14))
    assert seen_part((0, 0, 384, 384), config, 384, 384) == (0, 0, 378, 378)
    assert seen_part((10, 0, 70, 60), config, 60, 30) == (10, 0, 10 + 60 * 28 / 30, 56)
    pairs = SimpleNamespace(vision_config=SimpleNamespace(patch_size=[14, 14]))
    assert seen_part((0, 0, 60, 60), pairs, 30, 60) == (0, 0, 56, 56)
    assert seen_part((0, 0, 60, 60), SimpleNamespace(), 30, 60) == (0, 0, 60, 60)


def test_arguments_of_the_call_go_before_the_classes_and_the_image_processors() -> None:
    read = reading(1)
    assert read.setting("side") == 14 and read.setting("absent", 3) == 3
    read.processor.images_kwargs = {"side": 16}
    assert read.setting("side") == 16
    assert replace(read, options={"side": 2}).setting("side") == 2
    assert replace(read, options={"images_kwargs": {"side": 4}}).setting("side") == 4
    del read.processor.images_kwargs
    defaults = {"images_kwargs": {"side": 18}}
    read.processor.valid_processor_kwargs = SimpleNamespace(_defaults=defaults)
    assert read.setting("side") == 18
    with pytest.raises(ConfigurationError, match="has no other, so it is not known where"):
        read.setting("other")


def test_what_the_processor_does_not_return_is_named() -> None:
    with pytest.raises(ConfigurationError, match="returned no image_grid_thw"):
        reading(1).row("image_grid_thw")
    read = replace(reading(1), inputs={"image_grid_thw": torch.tensor([[1, 4, 6]])})
    assert read.row("image_grid_thw") == [1, 4, 6]


def test_a_sizing_function_is_that_beside_the_class() -> None:
    with pytest.raises(ConfigurationError, match="has no smart_resize beside SimpleNamespace"):
        own_function(SimpleNamespace(), "smart_resize")


def test_tokens_that_images_cannot_share_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="3 visual tokens are no equal shares of 2 images"):
        reading(3, (60, 40), (60, 40)).equal_share()
