"""Several images in one prompt: a layout each, words of each, regions of each, and batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_image
from tiny_vlm import FAMILIES, tiled_vlm, tiny_vlm

import llavit_lens as ll
from llavit_lens.images.open import pixel_sha256
from llavit_lens.vlm.families.family import Family
from llavit_lens.vlm.image_counts import visual_tokens_of_each
from llavit_lens.vlm.vlm import VLM

KINDS = (*FAMILIES, "llava_next", "spatial_unpad")
WIDE, TALL = tiny_image(1, 60, 30), tiny_image(2, 30, 60)
QUESTION = "a blue circle. What is it?"
ROUNDING = 64 * 2.0**-24


def a_vlm(kind: str) -> VLM:
    return tiny_vlm(kind) if kind in FAMILIES else tiled_vlm(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_each_image_has_the_layout_that_it_has_alone(kind: str) -> None:
    vlm = a_vlm(kind)
    prompt = vlm.prepare([WIDE, TALL], QUESTION)
    assert prompt.text.count(vlm.processor.image_token) == 2
    assert [pixel_sha256(one) for one in prompt.images] == [*map(pixel_sha256, (WIDE, TALL))]
    ids = prompt.inputs["input_ids"][0]
    visual = np.flatnonzero(ids.numpy() == vlm.image_token_id)
    assert np.array_equal(visual, np.concatenate([one.all_positions for one in prompt.layouts]))
    for image, layout in zip((WIDE, TALL), prompt.layouts, strict=True):
        alone = vlm.prepare(image, QUESTION).layout
        assert layout.image_size == image.size
        assert np.array_equal(layout.boxes, alone.boxes)
        assert layout.grid == alone.grid
        moved = layout.all_positions - alone.all_positions
        assert len(set(moved.tolist())) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_states_of_an_image_are_those_of_its_own_tokens(kind: str) -> None:
    """The projector's output of an image does not know of the other one."""
    vlm = a_vlm(kind)
    trace = vlm.trace([WIDE, TALL], QUESTION)
    assert len(trace.hidden[0]) == sum(map(len, trace.layouts))
    for number, image in enumerate((WIDE, TALL)):
        own, alone = trace.of_image(number), vlm.trace(image, QUESTION)
        assert own.layout is trace.layouts[number]
        assert own.provenance["image_sha256"] == pixel_sha256(image)
        expected = alone.hidden[0]
        assert (own.hidden[0] - expected).abs().max() <= ROUNDING * expected.abs().max()


def test_what_takes_one_image_says_so() -> None:
    vlm = tiny_vlm("llava")
    with pytest.raises(ll.ImageError, match=r"check_layout takes one image, no list of images$"):
        ll.check_layout(vlm, [WIDE, TALL])
    for images in ([[WIDE], TALL], [WIDE, [TALL]]):
        with pytest.raises(ll.ImageError, match=r"restore_map takes one image, no list of images$"):
            ll.restore_map(vlm, *images, QUESTION, "a")


def test_one_image_in_a_list_is_one_image() -> None:
    vlm = tiny_vlm("llavit")
    alone, listed = vlm.trace(WIDE, QUESTION), vlm.trace([WIDE], QUESTION)
    assert torch.equal(alone.hidden, listed.hidden)
    assert ll.logit_lens(alone) == ll.logit_lens(listed)
    assert listed.of_image(0) is listed


def test_a_lens_reads_the_image_that_is_chosen() -> None:
    vlm = tiny_vlm("llavit")
    trace = vlm.trace([WIDE, TALL], QUESTION)
    for lens in (ll.logit_lens, ll.input_similarity):
        words = lens(trace, k=2, image=1)
        assert words == lens(trace.of_image(1), k=2)
        assert words.image is trace.images[1]
        assert words.plot() is not None
        assert ll.Words.load(words.to_bytes()) == words
        with pytest.raises(ll.ConfigurationError, match=r"about 2 images.*image=0"):
            lens(trace)
        with pytest.raises(ll.ConfigurationError, match="there is no image 2"):
            lens(trace, image=2)
    assert "2 images" in repr(trace)
    assert trace._repr_html_().count("<img") == 2
    for name in ("layout", "image"):
        with pytest.raises(ll.ConfigurationError, match="about 2 images"):
            getattr(trace, name)
        with pytest.raises(ll.ConfigurationError, match="about 2 images"):
            getattr(vlm.prepare([WIDE, TALL]), name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_prompts_with_one_and_two_images(kind: str) -> None:
    vlm = a_vlm(kind)
    prompts = [vlm.prepare([WIDE, TALL], "What?"), vlm.prepare(TALL, QUESTION)]
    together = vlm.forward(prompts, copies=2, logits_to_keep=1).logits
    alone = [vlm.forward(one, logits_to_keep=1).logits[0] for one in prompts]
    for row, logits in enumerate(together):
        expected = alone[row // 2]
        assert (logits - expected).abs().max() <= ROUNDING * expected.abs().max()
    options = {"max_new_tokens": 3, "suppress_tokens": [vlm.image_token_id]}
    said = vlm.generate_batch(prompts, **options)
    assert said == [vlm.generate_batch([one], **options)[0] for one in prompts]


@pytest.mark.parametrize("number", [0, 1])
def test_a_region_is_of_the_image_that_it_names(number: int) -> None:
    vlm = tiny_vlm("llavit")
    prompt = vlm.prepare([TALL, WIDE], QUESTION)
    box = ll.Box(0, 0, 20, 20, image=number)
    places = box.positions(prompt.layouts[number]).tolist()

    def cut(keys: object) -> torch.Tensor:
        with ll.knock_out(vlm, ("last", keys)):
            return vlm.forward([prompt, prompt]).logits

    assert torch.equal(cut(box), cut(torch.tensor(places)))
    mask = np.zeros(prompt.images[number].size[::-1], bool)
    mask[:20, :20] = True
    assert torch.equal(cut(ll.Mask(mask, image=number)), cut(box))
    assert not torch.equal(cut(box), cut(ll.Box(0, 0, 20, 20, image=1 - number)))
    with pytest.raises(ll.ConfigurationError, match=r"about 2 images: say which.*image=0"):
        cut(ll.Box(0, 0, 20, 20))
    with pytest.raises(ll.ConfigurationError, match="there is no image 2"):
        cut(ll.Box(0, 0, 20, 20, image=2))


def test_patches_go_from_one_image_to_another() -> None:
    """The first image's patches in the place of the second's: as if it were shown there."""
    vlm = tiny_vlm("llava")
    first, second = ll.Box(0, 0, 30, 30, image=0), ll.Box(0, 0, 30, 30, image=1)
    square = tiny_image(3, 30, 30)
    other = tiny_image(4, 30, 30)
    with ll.patch(vlm, ([square, other], QUESTION), from_region=first, to_region=second):
        patched = vlm.run([square, other], QUESTION)
    expected = vlm.run([square, square], QUESTION)
    assert (patched - expected).abs().max() <= ROUNDING * expected.abs().max()
    assert (patched - vlm.run([square, other], QUESTION)).abs().max() > 1e-3


def test_a_prompt_holds_as_many_places_as_there_are_images() -> None:
    vlm = tiny_vlm("llava")
    token = vlm.processor.image_token
    own = vlm.prepare([WIDE, TALL], f"USER: {token} or {token}? ASSISTANT:")
    assert own.text.startswith("USER:")
    assert own.layouts[1].positions[0] - own.layouts[0].positions[-1] > 1  # words stand between
    with pytest.raises(ll.ConfigurationError, match="2 times, once for each image, but has it 1"):
        vlm.prepare([WIDE, TALL], f"USER: {token}? ASSISTANT:")
    with pytest.raises(ll.ConfigurationError, match="once, but has it 2 times"):
        vlm.prepare(WIDE, f"USER: {token} or {token}? ASSISTANT:")
    with pytest.raises(ll.ImageError, match="holds no image"):
        vlm.prepare([], QUESTION)


def test_what_is_of_one_image_says_so() -> None:
    vlm = tiny_vlm("llava")
    with pytest.raises(ll.ConfigurationError, match="about 2 images"):
        ll.attention_patterns(vlm, [WIDE, TALL], QUESTION)
    assert np.isfinite(ll.answer_log_prob(vlm, [WIDE, TALL], QUESTION, " dog"))
    assert isinstance(vlm.generate([WIDE, TALL], QUESTION, max_new_tokens=2), str)
    logits, cache = vlm.run_with_cache([WIDE, TALL], QUESTION, "blocks.0.hook_resid_pre")
    assert torch.equal(logits, vlm.run_with_hooks([WIDE, TALL], QUESTION))
    assert len(cache) == 1


def test_a_layout_that_takes_tokens_of_another_image_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each image is processed by itself, too: its tokens are counted."""
    vlm = tiled_vlm("llava_next")
    layouts = Family.layouts
    monkeypatch.setattr(Family, "layouts", lambda self, reading: layouts(self, reading)[::-1])
    with pytest.raises(
        ll.ConfigurationError, match="not known which visual tokens belong to which"
    ):
        vlm.prepare([tiny_image(1, 60, 30), tiny_image(2, 30, 30)], QUESTION)


def test_options_of_the_processor_are_on_record() -> None:
    vlm = tiny_vlm("llava")
    assert "processor_options" not in vlm.trace(WIDE, QUESTION).provenance
    vlm.processor_options = {"do_center_crop": True}
    assert vlm.trace(WIDE, QUESTION).provenance["processor_options"] == {"do_center_crop": True}


def test_images_that_are_processed_in_equal_parts() -> None:
    """A processor that makes fewer tokens of several images: each is counted with its like."""

    def count(images: Sequence[Image.Image], text: str) -> int:
        assert text.count("<image>") == len(images)
        return sum(one.width // (1 if len(images) == 1 else 10) for one in images)

    images = [tiny_image(1, 60, 30), tiny_image(2, 30, 60)]
    assert visual_tokens_of_each(count, images, "a <image> b <image> c", "<image>") == [6, 3]
    alike = [images[0]] * 2
    assert visual_tokens_of_each(lambda some, text: 7, alike, "<image><image>", "<image>") is None
