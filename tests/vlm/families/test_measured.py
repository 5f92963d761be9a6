"""Families that nobody has described: what the processor did is measured, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from any_model import tiny_config
from family_cases import CASES
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from places import read

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.families.described import OTHER
from llavit_lens.vlm.families.family import reading_of
from llavit_lens.vlm.families.measure import fitted_edges, measure, snapped
from llavit_lens.vlm.families.measured import measured_thw, measured_tiles
from llavit_lens.vlm.families.reading import Reading

MEASURABLE = ("internvl", "gemma3", "paligemma", "janus", "ovis2", "idefics3", "qwen2_vl", "glm4v")


class Made:
    """A processor that makes pixels [1, 3, 28, 28] of an image by a function of its own."""

    image_token = "<image>"

    def __init__(self, of: Callable[[np.ndarray], np.ndarray]) -> None:
        self.of = of
        self.calls = 0
        self.image_processor = SimpleNamespace(size=28)

    def __call__(self, images: list[Image.Image], **_: Any) -> dict[str, torch.Tensor]:
        self.calls += 1
        planes = [self.of(np.asarray(image, dtype=np.float32)[..., 0] / 255) for image in images]
        pixels = torch.as_tensor(np.stack([[plane] * 3 for plane in planes]))
        ids = torch.tensor([[1] + [10] * 4 * len(images)])
        return {"input_ids": ids, "pixel_values": pixels}


def stretch(plane: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(plane).resize((28, 28), Image.Resampling.BICUBIC))


CONFIG = SimpleNamespace(model_type="mine", image_token_id=10)


def reading(processor: Any, size: tuple[int, int] = (100, 60), config: Any = CONFIG) -> Reading:
    inputs = processor(images=[Image.new("RGB", size, "gray")])
    return reading_of(inputs, processor, config, [size])


@pytest.mark.parametrize("name", MEASURABLE)
def test_measured_layouts_are_those_in_closed_form(name: str) -> None:
    case = CASES[name]
    config, processor = tiny_config(case.model_type, **case.config), case.processor()
    for size in ((150, 90), (64, 200)):
        seen = read(processor, config, case.prompt, size)
        (exact,) = family_of(config).layouts(seen)
        (measured,) = OTHER.layouts(seen)
        assert measured.precision == "measured" and exact.precision == "exact"
        assert (measured.whole, measured.grid) == (exact.whole, exact.grid)
        assert np.abs(measured.boxes - exact.boxes).max() < 0.6 + 0.002 * max(size)


def test_a_type_that_nobody_described_is_measured() -> None:
    (layout,) = family_of(CONFIG).layouts(reading(Made(stretch)))
    assert (layout.precision, layout.grid, layout.whole) == ("measured", ((2, 2),), 0)
    assert layout.boxes.tolist() == [
        [0, 0, 50, 30],
        [50, 0, 100, 30],
        [0, 30, 50, 60],
        [50, 30, 100, 60],
    ]


def test_each_image_of_a_prompt_is_measured_by_itself() -> None:
    processor = Made(stretch)
    sizes = [(100, 60), (40, 80)]
    inputs = processor(images=[Image.new("RGB", size) for size in sizes])
    first = reading_of(inputs, _flat(processor), CONFIG, sizes)
    one, two = OTHER.layouts(first)
    assert one.boxes[0].tolist() == [0, 0, 50, 30] and two.boxes[0].tolist() == [0, 0, 20, 40]
    assert one.positions.tolist() == [1, 2, 3, 4] and two.positions.tolist() == [5, 6, 7, 8]


def _flat(processor: Made) -> Any:
    """The processor, for images in a list of their own."""
    flat = Made(processor.of)
    call = Made.__call__

    class Flat(Made):
        def __call__(self, images: Any, **options: Any) -> dict[str, torch.Tensor]:
            return call(self, images[0] if isinstance(images[0], list) else images, **options)

    flat.__class__ = Flat
    return flat


@given(st.integers(30, 600), st.integers(30, 600), st.floats(0, 0.3), st.floats(0, 0.3))
def test_a_crop_is_measured(width: int, height: int, x: float, y: float) -> None:
    """Within a pixel: the crop itself has whole pixels."""
    left, top = int(x * width), int(y * height)

    def crop(plane: np.ndarray) -> np.ndarray:
        return stretch(plane[top : height - top, left : width - left])

    (layout,) = OTHER.layouts(reading(Made(crop), (width, height)))
    corners = layout.boxes[[0, -1]].reshape(-1)[[0, 1, 6, 7]]
    wanted = np.array([left, top, width - left, height - top])
    assert (np.abs(corners - wanted) < 0.6 + 0.004 * np.array([width, height] * 2)).all()


def test_padding_lies_beyond_the_image() -> None:
    def pad(plane: np.ndarray) -> np.ndarray:
        return stretch(np.pad(plane, ((20, 20), (0, 0))))

    (layout,) = OTHER.layouts(reading(Made(pad), (100, 60)))
    assert layout.boxes[:, 1].min() == 0 and layout.boxes[:, 3].max() == 60
    assert layout.boxes[0, 3] == pytest.approx(30, abs=0.6)


def test_what_depends_on_the_content_is_refused() -> None:
    class ByContent(Made):
        def __call__(self, images: list[Image.Image], **options: Any) -> dict[str, torch.Tensor]:
            made = super().__call__(images, **options)
            bright = np.asarray(images[0]).mean() > 200
            return {**made, "image_sizes": torch.tensor([[28, 28 if bright else 14]])}

    with pytest.raises(ConfigurationError, match="another image_sizes for another image"):
        measured_tiles(reading(ByContent(stretch)))


def test_pixels_that_do_not_follow_the_image_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="same pixels of a black and a white image"):
        measured_tiles(reading(Made(lambda plane: np.zeros((28, 28), dtype=np.float32))))


def test_pixels_out_of_line_are_refused() -> None:
    def folded(plane: np.ndarray) -> np.ndarray:
        seen = stretch(plane)
        return np.concatenate([seen[:, :14], seen[:, 13::-1]], axis=1)

    with pytest.raises(ConfigurationError, match="off a straight line"):
        measured_tiles(reading(Made(folded)))


def test_regions_are_kept_for_a_processor_as_it_is_set() -> None:
    processor = Made(stretch)
    first = reading(processor)
    processor.calls = 0
    OTHER.layouts(first)
    OTHER.layouts(first)
    assert processor.calls == 4
    processor.image_processor.size = 30
    OTHER.layouts(first)
    assert processor.calls == 8
    OTHER.layouts(replace(first, image_sizes=((60, 100),)))
    assert processor.calls == 12


def test_queries_have_no_map() -> None:
    config = SimpleNamespace(**vars(CONFIG), qformer_config={"hidden_size": 8})
    (layout,) = OTHER.layouts(reading(Made(stretch), config=config))
    assert layout.precision == "none" and len(layout) == 4


def test_tokens_that_share_patches_unevenly_are_no_patches() -> None:
    config = SimpleNamespace(**vars(CONFIG), vision_config=SimpleNamespace(patch_size=4))
    with pytest.raises(ConfigurationError, match="no equal groups of the 7 x 7 patches"):
        measured_tiles(reading(Made(stretch), config=config))


def test_what_cannot_be_measured_has_no_map_and_says_why() -> None:
    """Its positions are known: words can be read by token."""
    first = reading(Made(stretch))
    strange = replace(first, inputs={**first.inputs, "pixel_values": torch.zeros(4, 588)})
    with pytest.warns(UserWarning, match=r"mine models are not .*\(4 x 588\).*register_family"):
        (layout,) = OTHER.layouts(strange)
    assert layout.precision == "unknown" and layout.positions.tolist() == [1, 2, 3, 4]
    with pytest.raises(ConfigurationError, match="4 visual tokens lie at unknown places"):
        layout.check_map()
    odd = replace(first, positions=first.positions[:3])
    with pytest.warns(UserWarning, match="3 visual tokens are no grid of square patches"):
        (layout,) = OTHER.layouts(odd)
    assert layout.summary == "3 visual tokens, at places that are not known"


def test_counts_that_cannot_be_grids_are_refused() -> None:
    first = reading(Made(stretch))
    with pytest.raises(ConfigurationError, match="3 visual tokens are no grid of square patches"):
        measured_tiles(replace(first, positions=first.positions[:3]))


def test_patches_in_an_unknown_order_are_refused() -> None:
    case = CASES["qwen2_vl"]
    processor = case.processor()
    shuffle = torch.as_tensor(np.random.default_rng(0).permutation(60))

    class Shuffled:
        image_processor = processor.image_processor

        def __call__(self, **options: Any) -> Any:
            made = processor(**options)
            made["pixel_values"] = made["pixel_values"][shuffle]
            return made

    seen = read(processor, tiny_config("qwen2_vl", **case.config), case.prompt, (150, 90))
    assert len(seen.inputs["pixel_values"]) == 60
    with pytest.raises(ConfigurationError, match="in no order that is known"):
        measured_thw(replace(seen, processor=Shuffled()))


def test_a_line_is_fitted_without_its_ends() -> None:
    line = np.linspace(0, 100, 29)[:-1] + 100 / 56
    line[[0, -1]] += 0.7  # where filters overshoot
    assert fitted_edges(line, 100) == pytest.approx((0, 100))
    line[:10] = np.nan
    assert fitted_edges(line, 100) == pytest.approx((0, 100))
    with pytest.raises(ConfigurationError, match="less than two pixels"):
        fitted_edges(np.array([5.0, np.nan]), 100)


def test_edges_are_moved_onto_equal_parts_only_if_close() -> None:
    assert snapped(33.2, 66.9, 100) == (100 / 3, 200 / 3)
    assert snapped(31.0, 66.9, 100) == (31.0, 66.9)


def test_a_number_knows_its_place() -> None:
    first = reading(Made(stretch), (280, 140))
    found = measure(first)
    assert found.x[0, 0, 14, 14] == pytest.approx(145, abs=0.8)
    assert found.y[0, 0, 14, 14] == pytest.approx(72.5, abs=0.8)
