"""Attention and restore maps as pictures: the right numbers on the right patches."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from tiny import PROMPT, tiny_image
from tiny_vlm import tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.restore import restore_map
from llavit_lens.interventions.restore_map import RestoreMap
from llavit_lens.lens.attention import attention_patterns
from llavit_lens.vlm.vlm import VLM


def tints(figure: Figure) -> list[PolyCollection]:
    """The tinted patches of every panel."""
    return [c for ax in figure.axes for c in ax.collections if isinstance(c, PolyCollection)]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def map_of(vlm: VLM, width: int, **options: object) -> RestoreMap:
    clean, corrupted = tiny_image(1, width, 30), tiny_image(2, width, 30)
    logits = [vlm.run(image, PROMPT)[0, -1].log_softmax(-1) for image in (clean, corrupted)]
    answer = [int((logits[0] - logits[1]).argmax())]
    return restore_map(vlm, clean, corrupted, PROMPT, answer, progress=False, **options)


@pytest.mark.parametrize("head", ["mean", "max", 2])
def test_the_patch_with_most_attention_has_the_darkest_tint(head: object) -> None:
    found = attention_patterns(tiny_vlm("llavit"), tiny_image(1), PROMPT, queries=["last", (1, 2)])
    figure = found.plot((1, 2), 1, head)
    (panel,) = tints(figure)
    colors = panel.get_facecolor()
    most = int(found.at((1, 2), 1, head).argmax())
    assert int(colors[:, 3].argmax()) == most
    weights = found.at((1, 2), 1, head)
    by_scale = colormaps["YlOrRd"](weights / weights.max())
    np.testing.assert_allclose(colors[:, :3], by_scale[:, :3], atol=1 / 128)
    corners = panel.get_paths()[most].vertices
    assert corners.min(0) == pytest.approx(found.layout.boxes[most][:2])
    assert "patch at row 1, column 2" in texts(figure) and "layer 1 of 0 to 2" in texts(figure)
    frames = [p.get_bbox().bounds[:2] for ax in figure.axes for p in ax.patches if not p.get_fill()]
    box = found.layout.boxes[found.layout.index(1, 2)]
    assert frames == [pytest.approx(box[:2])] * 2


def test_the_attention_map_says_the_numbers_of_its_data() -> None:
    found = attention_patterns(tiny_vlm("llavit"), tiny_image(1), PROMPT)
    figure = found.plot()
    said = " ".join(texts(figure).split())
    share = found.share_on_visual[-1, :, 0].mean()
    assert f"{share:.0%} of its attention goes to the picture" in said
    tokens = found.n_tokens
    assert f"evenly over all {tokens} tokens it would be {100 / tokens:.1f}%" in said
    bar = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    most = 100 * float(found.weights[-1, :, 0].mean(0).max())
    assert float(bar[-1].rstrip("%")) == pytest.approx(most, abs=0.5)


def test_attention_on_tiles_is_drawn_whole_and_in_tiles() -> None:
    found = attention_patterns(tiled_vlm("spatial_unpad"), tiny_image(0, 60, 30), PROMPT)
    whole, tiles = tints(found.plot())
    assert (len(whole.get_paths()), len(tiles.get_paths())) == (16, 32)
    assert found.plot(image=tiny_image(9, 120, 60))
    with pytest.raises(ConfigurationError, match="same picture"):
        found.plot(image=tiny_image(9, 60, 60))


def test_a_restore_map_shows_patches_and_other_places() -> None:
    found = map_of(tiny_vlm("llavit"), 40)
    figure = found.plot()
    panels = tints(figure)
    assert len(panels) == len(found.layers) and all(len(p.get_paths()) == 16 for p in panels)
    strongest = abs(found.effect[1, :16]).clip(0, 1)
    alphas = panels[1].get_facecolor()[:, 3]
    assert np.array_equal(np.argsort(alphas, kind="stable"), np.argsort(strongest, kind="stable"))
    said = texts(figure)
    assert found.answer.strip() in said and "whole picture" in said and "(last)" in said
    table = next(ax for ax in figure.axes if len(ax.texts) > 20)
    assert table.texts[0].get_text() == str(round(100 * found.effect[0, 16]))
    assert len(tints(found.plot(layers=[2]))) == 1
    with pytest.raises(ConfigurationError, match="layer 5 was not computed"):
        found.plot(layers=[5])


@pytest.mark.parametrize("places", [["patches"], ["rows", "last"], ["last"]])
def test_any_choice_of_places_can_be_drawn(places: list[str], tmp_path: object) -> None:
    figure = map_of(tiny_vlm("llava"), 40, places=places, layers=[1]).plot()
    assert len(tints(figure)) == ("patches" in places)
    figure.savefig(tmp_path / "map.png", dpi=30)


def test_a_restore_map_of_tiles() -> None:
    found = map_of(tiled_vlm("flat"), 60, layers=[0, 1], places=["patches"])
    assert [len(p.get_paths()) for p in tints(found.plot())] == [16, 16, 32, 32]
