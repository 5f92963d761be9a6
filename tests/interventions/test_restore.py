"""Restore maps: each number is what a plain torch hook would have given."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import PROMPT, tiny_image
from tiny_vlm import FAMILIES, LAYERS, tiled_vlm, tiny_vlm
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.restore import restore_map
from llavit_lens.vlm.answers import answer_log_prob
from llavit_lens.vlm.vlm import VLM

CLEAN, CORRUPTED = tiny_image(1), tiny_image(2)


def likelier_on_clean(vlm: VLM, clean: object = CLEAN, corrupted: object = CORRUPTED) -> list[int]:
    """A token that the clean picture makes much likelier."""
    logits = [vlm.run(image, PROMPT)[0, -1].log_softmax(-1) for image in (clean, corrupted)]
    return [int((logits[0] - logits[1]).argmax())]


def naive(vlm: VLM, layer: int, tokens: list[int], answer: list[int]) -> float:
    """log p(answer), with rows of a decoder layer's input replaced by a plain torch hook."""
    _, cache = vlm.run_with_cache(CLEAN, PROMPT, f"blocks.{layer}.hook_resid_pre")
    clean = cache["resid_pre", layer]

    def replace(module: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        states = args[0].clone()
        states[0, tokens] = clean[0, tokens]
        return (states, *args[1:])

    handle = vlm.model.model.language_model.layers[layer].register_forward_pre_hook(replace)
    try:
        return answer_log_prob(vlm, CORRUPTED, PROMPT, answer)
    finally:
        handle.remove()


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_plain_hooks_one_at_a_time(family: str) -> None:
    vlm = tiny_vlm(family)
    answer = likelier_on_clean(vlm)
    mask = np.zeros((30, 40), dtype=bool)
    mask[10:, 20:] = True
    one = restore_map(
        vlm,
        CLEAN,
        CORRUPTED,
        PROMPT,
        answer,
        places=["rows", "visual", "last", "text"],
        objects={"corner": mask, "cells": [(0, 0), (2, 1)]},
        batch_size=1,
        progress=False,
    )
    layout = vlm.prepare(CLEAN, PROMPT).layout
    length = vlm.prepare(CLEAN, PROMPT).length
    n_text = length - 1 - int(layout.positions.max())
    assert [p.kind for p in one.places] == (
        ["row"] * 4 + ["visual", "last"] + ["text"] * n_text + ["object"] * 2
    )
    for column, place in enumerate(one.places):
        for layer in range(LAYERS):
            expected = naive(vlm, layer, place.tokens.tolist(), answer)
            # the naive pass reads states of the prompt alone, ours of prompt and answer
            assert one.restored[layer, column] == pytest.approx(expected, abs=2e-5)
    assert one.clean == answer_log_prob(vlm, CLEAN, PROMPT, answer)
    assert one.corrupted == answer_log_prob(vlm, CORRUPTED, PROMPT, answer)
    whole = [place.kind for place in one.places].index("visual")
    assert one.restored[0, whole] == one.clean and one.effect[0, whole] == 1.0
    assert np.ptp(one.restored) > 0.1

    together = restore_map(
        vlm,
        CLEAN,
        CORRUPTED,
        PROMPT,
        answer,
        layers=[-1, 0],
        places=["rows", "visual", "last", "text"],
        objects={"corner": mask, "cells": [(0, 0), (2, 1)]},
        batch_size=5,
        progress=False,
    )
    assert together.layers == [0, LAYERS - 1]
    # other batch sizes add in another order: some roundings of logits of about 30
    np.testing.assert_allclose(together.restored, one.restored[[0, -1]], rtol=0, atol=5e-5)


@pytest.mark.long
@pytest.mark.parametrize("point", ["resid_post", "attn_out", "mlp_out", "z", "v", "k"])
def test_other_points(point: str) -> None:
    vlm = tiny_vlm("llavit")
    answer = likelier_on_clean(vlm)
    found = restore_map(
        vlm,
        CLEAN,
        CORRUPTED,
        PROMPT,
        answer,
        point=point,
        layers=[1],
        places=["visual"],
        progress=False,
        batch_size=1,
    )
    name = f"blocks.1.{'' if point.startswith(('resid', 'attn', 'mlp')) else 'attn.'}hook_{point}"
    _, cache = vlm.run_with_cache(CLEAN, PROMPT, name)
    at = vlm.prepare(CLEAN, PROMPT).layout.positions

    def put(activation: Tensor, hook: object) -> Tensor:
        activation = activation.clone()
        activation[0, at] = cache[name][0, at]
        return activation

    with vlm.hooks([(name, put)]):
        expected = answer_log_prob(vlm, CORRUPTED, PROMPT, answer)
    assert found.restored[0, 0] == pytest.approx(expected, abs=2e-5)
    assert found.restored[0, 0] != found.corrupted


def test_windows_and_tables() -> None:
    vlm = tiny_vlm("llavit")
    answer = likelier_on_clean(vlm)
    found = restore_map(
        vlm,
        CLEAN,
        CORRUPTED,
        PROMPT,
        answer,
        layers=[0],
        places=["patches", "last"],
        window=3,
        progress=False,
    )
    layout = found.layout
    middle = found.places[layout.index(1, 2)]
    cells = [layout.index(row, col) for row in (0, 1, 2) for col in (1, 2, 3)]
    assert sorted(middle.tokens.tolist()) == sorted(layout.positions[cells].tolist())
    assert len(found.places[layout.index(0, 0)].tokens) == 4
    table = found.to_pandas()
    assert len(table) == 17
    row = table[(table.row == 1) & (table.col == 2)].iloc[0]
    column = layout.index(1, 2)
    assert row.kind == "patch" and row.n_tokens == 9
    assert row.log_prob == found.restored[0, column] and row.effect == found.effect[0, column]
    expected = (found.restored - found.corrupted) / (found.clean - found.corrupted)
    assert np.array_equal(found.effect, expected)
    assert table[table.kind == "last"].row.item() == -1


@pytest.mark.long
def test_tiles() -> None:
    vlm = tiled_vlm("spatial_unpad")
    clean, corrupted = tiny_image(1, 60, 30), tiny_image(2, 60, 30)
    answer = likelier_on_clean(vlm, clean, corrupted)
    found = restore_map(
        vlm,
        clean,
        corrupted,
        PROMPT,
        answer,
        layers=[0],
        places=["visual", "rows", "patches"],
        progress=False,
        batch_size=4,
    )
    assert found.effect[0, 0] == pytest.approx(1, abs=1e-3)
    assert len(found.places[0].tokens) == len(found.layout) + len(found.layout.off_image)
    assert found.places[1].name == "row 0 of tile 0"


def test_says_how_much_there_is_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    vlm = tiny_vlm("llava")
    answer = likelier_on_clean(vlm)
    restore_map(vlm, CLEAN, CORRUPTED, PROMPT, answer, places=["rows"], batch_size=3)
    said = " ".join(capsys.readouterr().err.split())
    assert f"{LAYERS} layers x 4 places = {LAYERS * 4} restorations in {LAYERS * 2} passes" in said


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corrupted": CLEAN}, "nothing to restore"),
        ({"layers": [3]}, "numbered 0 to 2"),
        ({"layers": "most"}, "is not valid"),
        ({"point": "q_visual"}, "cannot be restored token by token"),
        ({"point": "pattern"}, "cannot be restored token by token"),
        ({"point": "residual"}, "there is no hook point 'residual'"),
        ({"places": ["patch"]}, "give a list of 'patches'"),
        ({"places": "rows"}, "give a list of 'patches'"),
        ({"places": []}, "nothing to restore: give places"),
        ({"window": 2}, "give 1, 3, 5"),
        ({"batch_size": 0}, "give 1 or more"),
        ({"objects": {"x": (0, 0, 1, 1)}}, "covers no patch"),
    ],
)
def test_mistakes_are_named(changes: dict, message: str) -> None:
    vlm = tiny_vlm("llavit")
    options = {"corrupted": CORRUPTED, "answer": likelier_on_clean(vlm), "progress": False}
    with pytest.raises(ConfigurationError, match=message):
        restore_map(vlm, CLEAN, prompt=PROMPT, **{**options, **changes})


def test_pictures_of_other_tiles_are_refused() -> None:
    vlm = tiled_vlm("flat")
    with pytest.raises(ConfigurationError, match="same width and height"):
        restore_map(vlm, tiny_image(0, 60, 30), tiny_image(0, 30, 60), PROMPT, [9], progress=False)
    with pytest.raises(ConfigurationError, match="same width and height"):
        restore_map(vlm, tiny_image(0, 60, 30), tiny_image(0, 30, 30), PROMPT, [9], progress=False)
