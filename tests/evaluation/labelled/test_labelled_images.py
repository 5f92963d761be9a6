"""What visual tokens show, against counting pixels; and images with another color in them."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_image
from tiny_vlm import tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.labelled_images import (
    Change,
    LabelledImage,
    LabelledObject,
    LazyImages,
)
from llavit_lens.evaluation.labelled.patch_labels import BACKGROUND, MIXED, covered, patch_labels
from llavit_lens.evaluation.labelled.recolour import HUES, main_hue, recolour, recolouring
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.vlm import VLM

FINE = 40  # points of a box that the loop below looks at, in each direction


def by_counting(layout: VisualLayout, mask: np.ndarray) -> np.ndarray:
    """The share of each box that a mask covers, by looking at many points of it."""
    found = []
    for left, top, right, bottom in layout.boxes:
        x = left + (np.arange(FINE) + 0.5) / FINE * (right - left)
        y = top + (np.arange(FINE) + 0.5) / FINE * (bottom - top)
        rows, cols = np.floor(y).astype(int), np.floor(x).astype(int)
        inside = mask[np.ix_(rows.clip(0, len(mask) - 1), cols.clip(0, mask.shape[1] - 1))]
        found.append(inside.mean() if right > left and bottom > top else 0)
    return np.array(found)


def labelled(image: Image.Image) -> LabelledImage:
    """Two overlapping things and a place of which nothing is known."""
    height, width = image.height, image.width
    y, x = np.mgrid[:height, :width]
    disk = (x - width * 0.3) ** 2 + (y - height * 0.4) ** 2 < (0.25 * height) ** 2
    block = (x > width * 0.4) & (x < width * 0.8) & (y > height * 0.3) & (y < height * 0.6)
    unknown = (x > width * 0.8) & (y > height * 0.8)
    things = (LabelledObject(disk, "disk"), LabelledObject(block, "block"))
    return LabelledImage(image, things, unknown)


@pytest.mark.parametrize("kind", ["one tile", "flat", "spatial_unpad"])
def test_labels_go_by_the_boxes_of_any_grid(kind: str) -> None:
    vlm: VLM = tiny_vlm("llavit") if kind == "one tile" else tiled_vlm(kind)
    picture = labelled(tiny_image(width=90, height=70))
    layout = vlm.prepare(picture.image).layout
    found = patch_labels(layout, picture)
    assert picture.unknown is not None
    shares = np.stack([by_counting(layout, thing.mask) for thing in picture.objects])
    assert np.abs(found.share - shares).max() < 0.06
    unknown = covered(layout, picture.unknown)
    for i, label in enumerate(found.label):
        best = int(found.share[:, i].argmax())
        if not layout.on_image[i]:
            assert label == MIXED
        elif found.share[best, i] >= 0.25:
            assert label == best
        elif found.share[:, i].any() or unknown[i]:
            assert label == MIXED
        else:
            assert label == BACKGROUND
    assert set(found.label) == {0, 1, BACKGROUND, MIXED}


def test_a_picture_without_objects_is_background() -> None:
    image = tiny_image()
    found = patch_labels(tiny_vlm("llava").prepare(image).layout, LabelledImage(image, ()))
    assert set(found.label) == {BACKGROUND} and found.share.shape == (0, 16)


@pytest.mark.parametrize(
    "mask", [np.zeros((40, 30), bool), np.zeros((30, 40), np.uint8), np.zeros((30, 40, 1), bool)]
)
def test_masks_have_to_fit(mask: np.ndarray) -> None:
    image = tiny_image(width=40, height=30)
    good = np.zeros((30, 40), bool)
    with pytest.raises(ConfigurationError, match="a mask is"):
        LabelledImage(image, (LabelledObject(mask, "dog"),))
    with pytest.raises(ConfigurationError, match="a mask is"):
        LabelledImage(image, (), unknown=mask)
    with pytest.raises(ConfigurationError, match="of one size"):
        change = Change("replace", tiny_image(width=41), good, "a", "b")
        LabelledImage(image, (), changes=(change,))


def test_pictures_are_made_when_asked_for() -> None:
    made: list[int] = []

    def make(number: int) -> LabelledImage:
        made.append(number)
        return LabelledImage(tiny_image(number), ())

    pictures = LazyImages(range(10), make)
    some = pictures[2:5]
    assert len(some) == 3 and made == []
    assert next(iter(some)).image == tiny_image(2) and made == [2]
    assert pictures[-1].image == tiny_image(9)


def test_a_thing_gets_another_hue_and_nothing_else_changes() -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((30, 40), bool)
    mask[5:20, 10:30] = True
    pixels = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
    for row, col in np.argwhere(mask):  # a blue thing with shades
        shade = colorsys.hsv_to_rgb(205 / 360, 0.8, rng.uniform(0.4, 1))
        pixels[row, col] = [round(255 * part) for part in shade]
    image = Image.fromarray(pixels)
    hue = main_hue(image, mask)
    assert hue is not None and hue.degrees == pytest.approx(205, abs=2) and hue.share == 1
    turned = np.asarray(recolour(image, mask, 155.0))
    assert (turned[~mask] == pixels[~mask]).all()
    before = np.array([colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in pixels[mask]])
    after = np.array([colorsys.rgb_to_hsv(*(pixel / 255)) for pixel in turned[mask]])
    assert np.abs((after[:, 0] - before[:, 0]) * 360 % 360 - 155).max() < 6
    assert np.abs(after[:, 1:] - before[:, 1:]).max() < 0.05

    thing = LabelledObject(mask, "cup", attributes={"color": "blue"})
    change = recolouring(LabelledImage(image, (thing,)))
    assert change is not None and change.old == "blue" and change.new != "blue"
    new = main_hue(change.image, mask)
    assert new is not None
    assert abs((new.degrees - HUES[change.new][0] + 180) % 360 - 180) < 3


@pytest.mark.parametrize("color", ["red", "gray", "turquoise", None])
def test_what_is_not_of_its_color_is_not_recoloured(color: str | None) -> None:
    image = Image.new("RGB", (40, 30), (20, 90, 200))
    mask = np.ones((30, 40), bool)
    attributes = {} if color is None else {"color": color}
    thing = LabelledObject(mask, "cup", attributes=attributes)
    assert recolouring(LabelledImage(image, (thing,))) is None
    assert main_hue(Image.new("RGB", (40, 30), (90, 90, 90)), mask) is None
