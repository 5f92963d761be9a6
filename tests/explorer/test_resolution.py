"""How sharp the image is on the page, and how sharp the model sees it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tiny_vlm import tiny_vlm

from llavit_lens.explorer.resolution import input_size_of, resolution


def result(
    size: tuple[int, int] | None,
    tiles: int = 1,
    image: tuple[int, int] = (8, 8),
    whole: int | None = 0,
) -> SimpleNamespace:
    """Of 8 x 8 patches in the middle of an image."""
    left, top = (image[0] - 8) / 2, (image[1] - 8) / 2
    boxes = np.array(
        [(left + x, top + y, left + x + 1, top + y + 1) for y in range(8) for x in range(8)]
    )
    layout = SimpleNamespace(
        grid=((8, 8),) * tiles,
        image_size=image,
        boxes=boxes,
        on_image=np.ones(64, bool),
        whole=whole,
    )
    return SimpleNamespace(input_size=size, words=SimpleNamespace(layout=layout))


def test_one_model() -> None:
    assert resolution((448, 448), [("a", result((112, 112)))]) == (
        "Shown at 448 × 448 pixels; the model sees 112 × 112."
    )


@pytest.mark.parametrize("image", [(8, 20), (20, 8)])
def test_a_model_that_sees_only_the_middle(image: tuple[int, int]) -> None:
    said = resolution((300, 300), [("a", result((112, 112), image=image))])
    assert said.endswith("the model sees 112 × 112 of the middle square.")
    pair = [("a", result((112, 112), image=image)), ("b", result((112, 112)))]
    assert "a sees 112 × 112 of the middle square; b sees 112 × 112." in resolution((9, 9), pair)


def test_an_image_in_tiles() -> None:
    assert resolution((1280, 900), [("a", result((336, 336), 5))]).endswith(
        "the model sees 336 × 336 of the whole and 336 × 336 of each of 4 parts."
    )
    none_whole = result((336, 336), 4, whole=None)
    assert resolution((9, 9), [("a", none_whole)]).endswith("sees 336 × 336 of each of 4 parts.")


@pytest.mark.parametrize(
    ("grid", "size"),
    [((8, 8), (112, 112)), ((4, 4), (112, 112)), ((4, 8), None), ((5, 5), None), ((3, 7), None)],
)
def test_the_largest_input_of_a_tower_that_takes_any_is_not_said(
    grid: tuple[int, int], size: tuple[int, int] | None
) -> None:
    config = SimpleNamespace(vision_config=SimpleNamespace(image_size=112, patch_size=14))
    layout = SimpleNamespace(grid=(grid,))
    assert input_size_of(config, layout) == size  # type: ignore[arg-type]
    assert input_size_of(config) == (112, 112)


def test_two_models() -> None:
    alike = [("a", result((112, 112))), ("b", result((112, 112)))]
    assert "both models see 112 × 112." in resolution((9, 8), alike)
    unlike = [("a", result((112, 112))), ("b", result((224, 224)))]
    assert "a sees 112 × 112; b sees 224 × 224." in resolution((9, 8), unlike)


def test_what_is_not_known_is_not_said() -> None:
    assert resolution((9, 8), [("a", result(None))]) == "Shown at 9 × 8 pixels."
    pair = [("a", result(None)), ("b", result((224, 224)))]
    assert resolution((9, 8), pair) == "Shown at 9 × 8 pixels; b sees 224 × 224."


@pytest.mark.parametrize("family", ["llava", "llavit", "llava_next"])
def test_it_is_what_the_tower_is_given(family: str) -> None:
    vlm = tiny_vlm(family)
    image = Image.new("RGB", (90, 50))
    height, width = vlm.prepare(image, "?").inputs["pixel_values"].shape[-2:]
    assert input_size_of(vlm.model.config) == (width, height)


def test_configs_of_other_kinds() -> None:
    def config(size: object) -> SimpleNamespace:
        return SimpleNamespace(vision_config=SimpleNamespace(image_size=size))

    assert input_size_of(config([20, 30])) == (30, 20)
    assert input_size_of(config("big")) is None and input_size_of(SimpleNamespace()) is None
