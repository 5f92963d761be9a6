"""Attention and restore maps as pictures: the right numbers on the right patches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from tiny import PROMPT, tiny_image
from tiny_vlm import tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.style import TINT, TWO_TINTS
from llavit_lens.interventions.restore import restore_map
from llavit_lens.lens.attention import attention_patterns
from llavit_lens.results.restore_map import RestoreMap
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


@pytest.mark.long
@pytest.mark.parametrize("head", ["mean", "max", 2])
def test_the_patch_with_most_attention_has_the_darkest_tint(head: object) -> None:
    found = attention_patterns(tiny_vlm("llavit"), tiny_image(1), PROMPT, queries=["last", (1, 2)])
    figure = found.plot((1, 2), 1, head)
    (panel,) = tints(figure)
    colors = panel.get_facecolor()
    most = int(found.at((1, 2), 1, head).argmax())
    assert int(colors[:, 3].argmax()) == most
    weights = found.at((1, 2), 1, head)
    by_scale = TINT(np.sqrt(weights / weights.max()))
    np.testing.assert_allclose(colors, by_scale, atol=1 / 64)
    assert colors[:, 3].max() < 0.6  # the image is seen
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
    assert f"{share:.0%} of its attention goes to the image" in said
    tokens = found.n_tokens
    assert f"spread evenly over all {tokens} tokens: {100 / tokens:.1f}%" in said
    bar = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    most = 100 * float(found.weights[-1, :, 0].mean(0).max())
    assert float(bar[-1].rstrip("%")) == pytest.approx(most, abs=0.5)


def test_attention_on_tiles_is_drawn_whole_and_in_tiles() -> None:
    found = attention_patterns(tiled_vlm("spatial_unpad"), tiny_image(0, 60, 30), PROMPT)
    whole, tiles = tints(found.plot())
    assert (len(whole.get_paths()), len(tiles.get_paths())) == (16, 32)


@pytest.mark.long
def test_a_restore_map_shows_patches_and_other_places() -> None:
    found = map_of(tiny_vlm("llavit"), 40)
    figure = found.plot()
    panels = tints(figure)
    strongest = abs(found.effect[:, :16]).max(1)
    assert len(panels) == (strongest >= 0.1 * strongest.max()).sum()
    assert all(len(p.get_paths()) == 16 for p in panels)
    limit = min(1, np.ceil(100 * abs(found.effect).max()) / 100)
    effect = abs(found.effect[0, :16]).clip(0, limit)
    alphas = panels[0].get_facecolor()[:, 3]
    assert (np.diff(alphas[np.argsort(effect)]) > -0.02).all()  # the palette has 256 steps
    said = texts(figure)
    assert found.answer.strip() in said and "whole image" in said and "(last)" in said
    table = next(ax for ax in figure.axes if len(ax.texts) > 20)
    assert table.texts[0].get_text() == str(round(100 * found.effect[0, 16]))
    assert len(tints(found.plot(layers=[2]))) == 1
    with pytest.raises(ConfigurationError, match="layer 5 was not computed"):
        found.plot(layers=[5])


@pytest.mark.long
@pytest.mark.parametrize("places", [["patches"], ["rows", "last"], ["last"]])
def test_any_choice_of_places_can_be_drawn(places: list[str], tmp_path: object) -> None:
    figure = map_of(tiny_vlm("llava"), 40, places=places, layers=[1]).plot()
    assert len(tints(figure)) == ("patches" in places)
    figure.savefig(tmp_path / "map.png", dpi=30)


def bar_ends(figure: Figure) -> list[tuple[str, str]]:
    """What the two ends of each scale of colors say."""
    bars = [[tick.get_text() for tick in ax.get_xticklabels()] for ax in figure.axes]
    return [(bar[0], bar[-1]) for bar in bars if len(bar) == 5 and bar[2] == "0"]


def with_effects(found: RestoreMap, effect: np.ndarray) -> RestoreMap:
    """As if the answer's log-probability were -4 and -2, with these effects [layers, places]."""
    return replace(found, corrupted=-4.0, clean=-2.0, restored=-4.0 + 2.0 * effect)


@pytest.mark.long
def test_a_restore_map_draws_the_numbers_of_its_data() -> None:
    found = map_of(tiny_vlm("llavit"), 40, places=["patches", "visual", "last"])
    effect = np.zeros((3, 18))
    effect[0, 5], effect[1, 6] = 0.213, -0.1  # layer 2 has none
    effect[:, 16:] = [[1.0, -0.04], [0.5, 3.0], [0.0, 0.0]]
    figure = with_effects(found, effect).plot()
    assert bar_ends(figure) == [("-100%", "100%")]  # one for patches and table
    for panel, values in zip(tints(figure), effect[:2, :16], strict=True):
        drawn = panel.get_facecolor()
        strongest = int(abs(values).argmax())
        at = 0.5 + np.sign(values) * np.sqrt(abs(values)) / 2
        np.testing.assert_allclose(drawn[strongest], TWO_TINTS(at[strongest]), atol=1 / 64)
        assert drawn[values == 0, 3].max() < 0.01
        assert int(drawn[:, 3].argmax()) == int(abs(values).argmax())
    table = next(ax for ax in figure.axes if ax.images and len(ax.texts) == 6)
    assert [text.get_text() for text in table.texts] == ["100", "50", "0", "-4", "300", "0"]
    said = texts(figure)
    assert "log p(answer) = -2 nats" in said and "log p(answer) = -4 nats" in said
    assert "its own tokens are not among these places" in str(figure.caption)  # type: ignore[attr-defined]


@pytest.mark.long
def test_a_restore_map_has_an_end() -> None:
    found = map_of(tiny_vlm("llavit"), 40, places=["last"], layers=[0])
    many = replace(found, places=found.places * 100)
    effect = np.full((1, 100), 0.001)
    effect[0, 50] = 0.9
    figure = with_effects(many, effect).plot()
    table = next(ax for ax in figure.axes if ax.images and ax.texts)
    shown = [text.get_text() for text in table.texts]
    assert len(shown) == 16 and "90" in shown
    assert "84 places with smaller effects are left out" in texts(figure)
    assert figure.get_size_inches()[1] < 10


def test_a_table_alone_stands_beside_the_pictures_and_a_long_answer_is_cut() -> None:
    found = map_of(tiny_vlm("llavit"), 40, places=["rows", "last"], layers=[0])
    found = with_effects(replace(found, answer=" word" * 30), np.full((1, 5), 0.004))
    figure = found.plot()
    table = next(ax for ax in figure.axes if ax.images and len(ax.texts) == 5)
    pictures = [ax for ax in figure.axes if ax.images and not ax.texts]
    box = table.get_position()
    assert all(box.x0 > picture.get_position().x1 for picture in pictures[:2])
    assert box.y1 > pictures[0].get_position().y0
    assert bar_ends(figure) == [("-1.0%", "1.0%")]
    title = figure.texts[0].get_text()
    assert "…' back?" in title and title.count("word") == 8


@pytest.mark.long
def test_a_restore_map_of_tiles() -> None:
    found = map_of(tiled_vlm("flat"), 60, layers=[0, 1], places=["patches"])
    assert [len(p.get_paths()) for p in tints(found.plot())] == [16, 16, 32, 32]
