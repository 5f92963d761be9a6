"""`ll.example`: the truth that comes with a scene, and every door that takes it as an image."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_vlm import tiny_vlm

import llavit_lens as ll
from llavit_lens.evaluation.labelled.patch_labels import BACKGROUND, MIXED, patch_labels
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import open_image
from llavit_lens.miniature.world.scenes import GRID, PATCH, SIZE, example_truth
from llavit_lens.options import image_path
from llavit_lens.shipped import FIRST_EXAMPLE, example_path


def demo_layout() -> VisualLayout:
    row, col = np.divmod(np.arange(GRID * GRID), GRID)
    corners = np.stack([col, row, col + 1, row + 1], axis=1) * PATCH
    return VisualLayout(
        positions=np.arange(GRID * GRID),
        tile=np.zeros_like(row),
        row=row,
        col=col,
        grid=((GRID, GRID),),
        image_size=(SIZE, SIZE),
        boxes=corners.astype(np.float64),
    )


@pytest.mark.parametrize("name", ll.examples())
def test_its_masks_are_the_truth_of_every_patch(name: str) -> None:
    scene, truth = ll.example(name), example_truth(name).patch_labels.ravel()
    label = patch_labels(demo_layout(), scene).label
    assert np.array_equal(label[truth >= 0], truth[truth >= 0])
    assert set(label[truth == -3]) <= {MIXED, BACKGROUND}  # the ground's two kinds mix, too
    assert set(label[(truth == -1) | (truth == -2)]) <= {BACKGROUND}


@pytest.mark.parametrize("name", ll.examples())
def test_it_comes_with_what_is_true(name: str) -> None:
    scene = ll.example(name)
    assert (scene.name, scene.image.size, scene.display.size) == (name, (112, 112), (448, 448))
    things = example_truth(name).scene.things
    assert len(scene.objects) == len(things)
    for thing, labelled in zip(things, scene.objects, strict=True):
        assert labelled.mask.sum() > 0.2 * thing.width * thing.height
        assert labelled.mask.sum() == labelled.mask[
            thing.y - thing.height // 2 : thing.y + thing.height // 2 + 1,
            thing.x - thing.width // 2 : thing.x + thing.width // 2 + 1,
        ].sum()  # fmt: skip
        assert labelled.words == thing.words
        assert (thing.word or thing.name) in scene.caption
    assert scene.questions and all(one.answer for one in scene.questions)
    assert name in repr(scene) and len(repr(scene)) < 400


def test_the_first_one_needs_no_name() -> None:
    assert ll.example().name == FIRST_EXAMPLE in ll.examples()


def test_a_wrong_name_is_one_error_with_the_nearest_and_all() -> None:
    for wrong in (lambda: ll.example("kite-mon"), lambda: open_image("example:kite-mon")):
        with pytest.raises(ll.ImageError) as caught:
            wrong()
        message = str(caught.value)
        assert message.startswith("kite-mon: no such example scene; did you mean kite-moon?")
        assert all(name in message for name in ll.examples()) and "\n" not in message
    with pytest.raises(ll.ImageError, match="no such example scene; there are: "):
        ll.example("qqqqqqqqqq")


def test_a_region_is_all_pixels_of_which_a_word_is_true() -> None:
    scene = ll.example("kite-moon")
    kite, moon = (thing.mask for thing in scene.objects)
    assert np.array_equal(scene.region("kite").mask, kite)
    both = ll.LabelledImage(
        scene.image, (ll.LabelledObject(kite, "a", {"x"}), ll.LabelledObject(moon, "b", {"x"}))
    )
    assert np.array_equal(both.region("x").mask, kite | moon)
    with pytest.raises(ll.ConfigurationError, match=r"called 'dog'; .* are: kite, moon"):
        scene.region("dog")


def test_whatever_takes_an_image_takes_an_example_by_object_and_by_name() -> None:
    scene = ll.example("piano-pizza")
    vlm = tiny_vlm("llavit")
    from_file = vlm.trace(example_path("piano-pizza")).hidden
    for image in (scene, "example:piano-pizza", ll.LabelledImage(scene.image, ())):
        trace = vlm.trace(image)
        assert np.array_equal(trace.hidden.numpy(), from_file.numpy())
        words = ll.logit_lens(trace)
        words.plot(layer=1, image=image)
        patterns = ll.attention_patterns(vlm, image, layers=[0])
        patterns.plot(layer=0, image=image)
        assert ll.answer_log_prob(vlm, image, "what ?", "a") < 0
        ll.check_visual_attention(vlm, image)
        with ll.patch(vlm, (image, "what ?")):
            vlm.generate("example:sun-guitar", "what ?", max_new_tokens=1)
        with ll.knock_out(vlm, ("last", scene.region("piano"))):
            vlm.generate(image, "what ?", max_new_tokens=1)
    with pytest.raises(ll.ConfigurationError, match="is not the one that was read"):
        words.plot(layer=1, image="example:sun-guitar")


def test_a_file_of_that_name_opens_by_its_path(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 10)).save("example:kite-moon", "PNG")
    for source in ("./example:kite-moon", Path("example:kite-moon")):
        assert open_image(source).size == (20, 10)
    assert open_image("example:kite-moon").size == (112, 112)
    assert image_path("./example:kite-moon") == Path("example:kite-moon")
    assert image_path("example:kite-moon") == example_path("kite-moon")


def test_examples_come_without_pytorch() -> None:
    code = "import sys, llavit_lens as ll; ll.example(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ll.examples())
def test_the_words_true_of_patches_are_those_of_the_scene(name: str) -> None:
    scene = ll.example(name)
    layout, truth = demo_layout(), example_truth(name)
    cells = zip(layout.row.tolist(), layout.col.tolist(), strict=True)
    assert scene.true_words(layout) == [truth.words(row, col) or None for row, col in cells]
