"""The note over a user's own image."""

from __future__ import annotations

import pytest
from explorer_page import ShownView
from PIL import Image
from streamlit.testing.v1 import AppTest

from llavit_lens.explorer import page_content, real_model
from llavit_lens.explorer.input_image import InputImage
from llavit_lens.explorer.own_image import OWN_IMAGE
from llavit_lens.explorer.real_model import DETAILS, LARGE, SMALL, notice
from llavit_lens.explorer.view import OWN
from llavit_lens.images.open import pixel_sha256
from llavit_lens.inputs import is_hub_name

SHOWN = "Demo models know drawn scenes only"


def test_sizes_follow_from_the_number_of_weights() -> None:
    assert SMALL.size() == (
        "1.7 GB to download, about 2 minutes at 100 Mbit/s; 1.7 GB of memory in bfloat16, 3.5 in "
        "float32"
    )
    assert LARGE.size().startswith("14 GB to download, about 19 minutes")
    assert is_hub_name(SMALL.name) and is_hub_name(LARGE.name)


def test_the_small_one_has_that_many_weights() -> None:
    """Counted without storage, in a model of the config that its card shows."""
    import torch
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    text = {
        "model_type": "qwen2", "hidden_size": 1024, "intermediate_size": 2816,
        "num_attention_heads": 16, "num_key_value_heads": 16, "num_hidden_layers": 24,
        "vocab_size": 152_000, "tie_word_embeddings": True,
    }  # fmt: skip
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 1152, "intermediate_size": 4304,
        "num_attention_heads": 16, "num_hidden_layers": 26, "image_size": 384, "patch_size": 14,
        "vision_use_head": False,
    }  # fmt: skip
    config = LlavaConfig(
        text_config=text, vision_config=vision, vision_feature_layer=-1,
        vision_feature_select_strategy="full", tie_word_embeddings=True,
    )  # fmt: skip
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    assert sum(weight.numel() for weight in model.parameters()) == SMALL.weights


def test_what_was_not_tried_is_not_claimed() -> None:
    assert "not tried" in DETAILS
    assert SMALL.name in notice(public=False) and SMALL.name not in notice(public=True)


def notes(page: AppTest) -> list[str]:
    return [each.value for each in page.markdown if SHOWN in each.value]


@pytest.mark.long
def test_it_stands_over_an_own_image_on_a_demo_model(
    page: AppTest, shown: list[ShownView], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Image.new("RGB", (150, 100), "red")
    own = InputImage(OWN, image, image, pixel_sha256(image), "red.png")
    monkeypatch.setattr(page_content, "own_image", lambda: own)
    page.session_state[OWN_IMAGE] = None
    page.session_state["picture"] = OWN
    page.run()
    assert not page.exception and not page.error
    assert len(notes(page)) == 1
    assert any("Shown at 150 × 100 pixels" in each.value for each in page.caption)
    assert 'image = "red.png"' in page.code[0].value
    page.button(key="hide_real_model").click().run()
    assert not notes(page) and not page.exception


@pytest.mark.long
def test_it_is_not_over_an_example(page: AppTest, shown: list[ShownView]) -> None:
    page.run()
    assert not notes(page)


@pytest.mark.long
def test_its_button_chooses_the_model(
    page: AppTest, shown: list[ShownView], monkeypatch: pytest.MonkeyPatch
) -> None:
    # another name in its place: nothing is fetched
    monkeypatch.setattr(real_model, "SMALL", real_model.RealModel("demo:baseline", 1))
    image = Image.new("RGB", (150, 100), "red")
    own = InputImage(OWN, image, image, pixel_sha256(image))
    monkeypatch.setattr(page_content, "own_image", lambda: own)
    page.session_state[OWN_IMAGE] = None
    page.session_state["picture"] = OWN
    page.run()
    page.button(key="load_small").click().run()
    assert not page.exception and "baseline" in shown[-1].names[0]
