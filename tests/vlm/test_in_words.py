"""What a notebook says of a model, a trace and their parts: one line each, and a card."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import tiny_image
from tiny_vlm import FAMILIES, tiled_vlm, tiny_vlm

from llavit_lens.evaluation.labelled.labelled_images import Change, LabelledImage, LabelledObject
from llavit_lens.evaluation.labelled.patch_labels import patch_labels
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.search import search
from llavit_lens.vlm.vlm import VLM


def everything(vlm: VLM) -> dict[str, Any]:
    """Whatever of a model can be the last line of a cell."""
    image = tiny_image()
    trace = vlm.trace(image)
    mask = np.ones((30, 40), bool)
    thing = LabelledObject(mask, "dog", frozenset(f"word{i}" for i in range(99)))
    labelled = LabelledImage(
        image, (thing,) * 50, None, (Change("recolour", image, mask, "a", "b"),)
    )
    return {
        "vlm": vlm,
        "trace": trace,
        "layout": trace.layout,
        "prompt": vlm.prepare(image, "What?" * 99),
        "readout": trace.readout,
        "cache of readouts": vlm._readouts,
        "decoder": vlm.decoder,
        "family": vlm.family,
        "activations": vlm.run_with_cache(image)[1],
        "image": labelled,
        "object": thing,
        "change": labelled.changes[0],
        "labels": patch_labels(trace.layout, labelled),
        "found": search("red", trace, logit_lens(trace, k=2)),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_each_is_one_line(family: str) -> None:
    for name, value in everything(tiny_vlm(family)).items():
        line = repr(value)
        assert "\n" not in line and len(line) < 250, name
        assert line.startswith(f"{type(value).__name__}("), name
        assert "tensor(" not in line and "array(" not in line, name


@pytest.mark.parametrize("kind", ["llava_next", "spatial_unpad"])
def test_tiles_are_counted(kind: str) -> None:
    vlm = tiled_vlm(kind)
    trace = vlm.trace(tiny_image())
    n_tiles = len(trace.layout.grid)
    assert n_tiles > 1 and f"in {n_tiles} tiles" in repr(trace.layout)
    html = trace.layout._repr_html_()
    assert f"tile {n_tiles - 1}" in html
    assert f">{len(trace.layout.off_image)}<" in html
    assert trace.layout.summary in trace._repr_html_()


def test_the_card_of_a_model_says_what_it_is() -> None:
    vlm = tiny_vlm("llavit")
    html = vlm._repr_html_()
    n = sum(parameter.numel() for parameter in vlm.model.parameters())
    assert f"{n / 1000:.3g} thousand" in html and "LlavitForConditionalGeneration" in html
    assert vlm.prepare(Image.new("RGB", (448, 448))).layout.summary in html
    for fact in ("float32 on cpu", vlm.visual_attention, f"{vlm.decoder.n_layers} layers"):
        assert fact in html


def test_names_are_escaped() -> None:
    vlm = tiny_vlm("llavit")
    vlm = VLM(vlm.model, vlm.processor, "<script>\nalert(1)")
    trace = vlm.trace(tiny_image(), "<script>?")
    thing = LabelledObject(np.ones((30, 40), bool), "<script>\n")
    for value in (vlm, trace, LabelledImage(tiny_image(), (thing,))):
        assert "<script" not in value._repr_html_() and "&lt;script&gt;" in value._repr_html_()
        assert "\n" not in repr(value)


def test_a_model_that_cannot_be_used_is_still_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = tiny_vlm("llavit")

    def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(type(vlm), "prepare", fail)
    monkeypatch.setattr(type(vlm), "decoder", property(fail))
    assert "unknown" in vlm._repr_html_() and "unknown" in repr(vlm)


def test_the_image_of_a_trace_is_shown() -> None:
    html = tiny_vlm("llavit").trace(tiny_image())._repr_html_()
    assert html.count("<img") == 1 and len(html) < 400_000 and "ll.logit_lens(trace" in html
