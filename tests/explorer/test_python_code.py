"""The program on the page computes what the page shows."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from llavit_lens.explorer import page_content
from llavit_lens.explorer.input_image import InputImage, example_image, uploaded_image
from llavit_lens.explorer.lens_cache import LensCache
from llavit_lens.explorer.model_spec import ModelSpec
from llavit_lens.explorer.offered_models import OfferedModels, demo_models
from llavit_lens.explorer.panes import Pane, panes_of
from llavit_lens.explorer.python_code import python_code
from llavit_lens.explorer.start import Start
from llavit_lens.explorer.view import View
from llavit_lens.explorer.wording import CUT
from llavit_lens.lens.matching import matched_layer

MODELS = OfferedModels(tuple(demo_models()))
CACHE = LensCache()


def answering(view: View, image: InputImage) -> list[Pane]:
    def get_result(name, ablations):
        spec = ModelSpec(name, device="cpu")
        return spec, CACHE.result(spec, image, view.prompt, ablations)

    return panes_of(view, MODELS, get_result)[0]


def run(code: str) -> tuple[dict, list[str]]:
    """What the program defines and prints."""
    names: dict = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "page", "exec"), names)
    return names, printed.getvalue().splitlines()


@pytest.mark.long
@pytest.mark.parametrize(
    ("query", "layer", "patch"),
    [
        ({}, 4, 28),
        ({"prompt": "What does the sign say?", "k": 3}, -1, 9),
        ({"mode": "compare", "prompt": 'Is "it" there?\\'}, 2, None),
        ({"mode": "ablate", "ablation": "visual_attention:0-1,text->visual:2-"}, 3, 20),
        ({"mode": "ablate", "pair": "after", "ablation": "visual->visual,visual->text:1-4,causal"},
         5, 0),
    ],
)  # fmt: skip
def test_it_computes_what_the_page_shows(query: dict, layer: int, patch: int | None) -> None:
    view = View(picture="kite-moon", **query)
    image = example_image("kite-moon")
    panes = answering(view, image)
    names, printed = run(
        python_code(panes, panes[0], image, view, Start(layer, patch, view), MODELS)
    )
    found = [names[name] for name in names if name.startswith("words")]
    assert len(found) == len(panes)
    for words, pane in zip(found, panes, strict=True):
        shown = pane.result.similarity if layer < 0 else pane.result.words
        k = min(view.k, words.k)
        assert words.k == view.k and (words.ids == shown.ids[:, :, :k]).all()
        assert abs(words.values - shown.values[:, :, :k]).max() < 1e-5
        answer = CACHE.answer(pane.spec, image, view.prompt, pane.ablations)
        assert answer.removesuffix(CUT).strip() in printed
        if patch is not None:
            row, col = divmod(patch, 8)
            at = 0 if layer < 0 else matched_layer(layer, panes[0].result.depth, pane.result.depth)
            assert str(words.at(at, row, col)) in printed


@pytest.mark.parametrize("pair", ["other", "model", "after"])
def test_layer_and_patch_are_those_of_the_first_pane_that_is_shown(
    pair: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = example_image("kite-moon")
    words = answering(View(picture="kite-moon"), image)[0].result.words
    depths = {"demo:baseline": 6, "demo:llavit": 24}

    def get_result(name, ablations):
        return ModelSpec(name), SimpleNamespace(depth=depths[name], words=words)

    view = View(mode="ablate", pair=pair, ablation="causal")
    panes, shown = panes_of(view, MODELS, get_result)
    last = 24 if pair == "model" else 6
    code = python_code(panes, shown[0], image, view, Start(last, 3, view), MODELS)
    layers = [int(call.split(",")[0]) for call in code.split(".at(")[1:]]
    assert layers == [6, 6, 24, 24]

    said: list[int] = []
    monkeypatch.setattr(
        page_content, "effect", lambda *given: said.append(given[3]) or "Nothing changed."
    )
    page_content._show_effects(CACHE, panes, shown[0], image, "", last, None)
    assert said == [6, 24]


def test_of_an_own_image_it_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO()
    Image.new("RGB", (130, 90), "red").save(data, "PNG")
    (tmp_path / "it's mine.png").write_bytes(data.getvalue())
    image = uploaded_image(data.getvalue(), "it's mine.png")
    view = View(picture="own")
    panes = answering(view, image)
    code = python_code(panes, panes[0], image, view, Start(4, 3, view), MODELS)
    assert """image = "it's mine.png"  # your own image: give its path""" in code
    monkeypatch.chdir(tmp_path)
    names, _ = run(code)
    assert (names["words"].ids == panes[0].result.words.ids[:, :, :5]).all()
    pasted = uploaded_image(data.getvalue(), "the pasted image")
    assert 'image = "image.png"  # your own' in python_code(
        panes, panes[0], pasted, view, Start(4, 3, view), MODELS
    )


def test_of_a_public_page_it_holds_no_path() -> None:
    models = OfferedModels(("/secret/place/mine",), public=True)
    image, view = example_image("kite-moon"), View(picture="kite-moon")
    (pane,) = answering(view, image)
    hidden = Pane("mine", ModelSpec("/secret/place/mine"), (), pane.result)
    code = python_code([hidden], hidden, image, view, Start(1, 1, view), models)
    assert "secret" not in code and 'll.load("mine")' in code


def test_device_and_precision_are_those_of_the_page() -> None:
    image, view = example_image("kite-moon"), View(picture="kite-moon")
    (pane,) = answering(view, image)
    other = Pane("x", ModelSpec("demo:llavit", "cpu", "bfloat16"), (), pane.result)
    code = python_code([other], other, image, view, Start(1, 1, view), MODELS)
    assert 'll.load("demo:llavit", device="cpu", dtype="bfloat16")' in code
