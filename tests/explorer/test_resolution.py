"""How sharp the image is on the page, and how sharp the model sees it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PIL import Image
from tiny_vlm import tiny_vlm

from llavit_lens.explorer.resolution import input_size_of, resolution


def result(size: tuple[int, int] | None, tiles: int = 1) -> SimpleNamespace:
    layout = SimpleNamespace(grid=((8, 8),) * tiles)
    return SimpleNamespace(input_size=size, words=SimpleNamespace(layout=layout))


def test_one_model() -> None:
    assert resolution((448, 448), [("a", result((112, 112)))]) == (
        "Shown at 448 × 448 pixels; the model sees 112 × 112."
    )


def test_an_image_in_tiles() -> None:
    assert resolution((1280, 900), [("a", result((336, 336), 5))]).endswith(
        "the model sees 336 × 336 of the whole and 336 × 336 of each of 4 parts."
    )


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
