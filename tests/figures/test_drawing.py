"""What stands on the page: the right words, in the right places, drawn literally."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import unescape

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, LabelledObject
from llavit_lens.figures import (
    draw_comparison,
    draw_patch_words,
    draw_selected_patches,
    draw_word_panels,
)
from llavit_lens.figures.color_scale import value_scale
from llavit_lens.figures.fit import READABLE
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.style import COLORS, RIGHT, TINT, contrast
from llavit_lens.results.words import Words

MakeWords = Callable[..., Words]


def texts_in_svg(figure: Figure) -> list[str]:
    """Every line of text of the figure, as an SVG reader finds it."""
    page = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(page, format="svg")
    return [unescape(t) for t in re.findall(r"<text[^>]*>([^<]*)</text>", page.getvalue())]


def panels(figure: Figure) -> list[Axes]:
    """The panels with words, without the bare image and the scales."""
    return [ax for ax in figure.axes if any(isinstance(c, PolyCollection) for c in ax.collections)]


def tints(panel: Axes) -> PolyCollection:
    return next(c for c in panel.collections if isinstance(c, PolyCollection))


def green_edges(panel: Axes) -> np.ndarray:
    """[edges, 2, 2], the green lines of a panel in pixels of the image."""
    lines = [c for c in panel.collections if isinstance(c, LineCollection)]
    green = [c for c in lines if len(c.get_colors()) and tuple(c.get_colors()[0]) == to_rgba(RIGHT)]
    return np.concatenate([np.array(c.get_segments()).reshape(-1, 2, 2) for c in green])


def test_each_word_stands_on_its_own_patch(make_words: MakeWords) -> None:
    words = make_words(["dog", "grass", "guitar", "sky", "sand"], grid=(3, 4), size=(80, 60))
    figure = draw_patch_words(words)
    drawn = {(t.get_position(), t.get_text()) for t in panels(figure)[0].texts}
    assert len(drawn) == 12
    for (x, y), text in drawn:
        row, col = int(y // 20), int(x // 20)
        assert words.at(-1, row, col)[0].word == text


def test_patches_that_touch_and_say_the_same_share_a_label(make_words: MakeWords) -> None:
    words = make_words(["dog", "sky"], grid=(3, 3), size=(90, 90))
    words.ids[..., 0] = np.array([0, 0, 1, 1, 0, 1, 1, 1, 0])  # the last touches by a corner only
    drawn = {t.get_text(): [] for t in panels(draw_patch_words(words))[0].texts}
    for text in panels(draw_patch_words(words))[0].texts:
        drawn[text.get_text()].append(text.get_position())
    assert sorted(drawn["dog"]) == [(30.0, 15.0), (75.0, 75.0)]
    assert sorted(drawn["sky"]) == [(30.0, 75.0), (75.0, 30.0)]


@pytest.mark.long
def test_awkward_tokens_are_drawn_literally(
    make_words: MakeWords, awkward_words: list[str]
) -> None:
    words = make_words(awkward_words, grid=(3, 4), size=(1200, 900))
    title = r"$\frac{1}{0$ _a_ %"
    drawn = texts_in_svg(draw_word_panels([("m$y$_model", [(words, 6)])], title=title))
    for token in awkward_words:
        if drawable(token):
            assert drawable(token) in drawn
    assert drawable(title) in drawn and "m$y$_model" in drawn

    lists = draw_selected_patches(
        [("a_$x$", words, words)], patches=[(r, c) for r in range(3) for c in range(4)]
    )
    drawn = texts_in_svg(lists)
    assert "a_$x$" in drawn and {drawable(t) for t in awkward_words if t} <= set(drawn)


@pytest.mark.long
def test_words_stay_inside_their_patches_on_a_large_grid(make_words: MakeWords) -> None:
    vocabulary = [
        "elephant",
        "sky",
        "supercalifragilistic",
        "\u6309\u94ae",
        "\n",
        "building",
        "cat",
    ]
    words = make_words(vocabulary, grid=(24, 24), size=(336, 336), layers=(32,), depth=32)
    figure = draw_patch_words(words)
    figure.draw_without_rendering()
    ax = panels(figure)[0]
    cell = ax.transData.transform((14, 0))[0] - ax.transData.transform((0, 0))[0]
    assert len(ax.texts) == 24 * 24
    for text in ax.texts:
        box = text.get_window_extent()
        assert box.width <= cell and box.height <= cell
        assert text.get_fontsize() >= READABLE


def test_words_too_small_to_read_are_left_out_and_their_color_is_not(make_words: MakeWords) -> None:
    words = make_words(["dog", "sky"], grid=(99, 99), size=(99, 99))
    words.ids[:, :99, 0] = 1  # one long region
    figure = Figure(figsize=(5, 5))
    ax = figure.subplots()
    draw_patch_words(words, ax=ax)
    assert [t.get_text() for t in ax.texts] == []
    assert len(tints(ax).get_paths()) == 99 * 99
    words.ids[:, :, 0] = 1
    draw_patch_words(words, ax=(second := Figure(figsize=(5, 5)).subplots()))
    assert [t.get_text() for t in second.texts] == ["sky"]


def test_color_is_the_probability_and_the_image_stays_visible(make_words: MakeWords) -> None:
    for probability in (0.02, 0.3, 0.5, 0.7, 0.99):
        figure = draw_patch_words(make_words(top=probability), scale="fixed")
        panel = panels(figure)[0]
        color = tints(panel).get_facecolor()[0]
        # values are float32, the palette has 256 steps
        assert np.allclose(color, TINT(probability), atol=0.02)
        assert color[3] < 0.6
        for text in panel.texts:
            box = text.get_bbox_patch()
            assert box is not None and contrast(to_rgba(text.get_color()), (1, 1, 1)) >= 7
            assert box.get_facecolor()[:3] == (1, 1, 1) and box.get_facecolor()[3] > 0.7


def test_the_scale_follows_the_data_and_says_so(make_words: MakeWords) -> None:
    words = make_words(top=0.00042)
    said = " ".join(" ".join(texts_in_svg(draw_patch_words(words))).split())
    assert "0.042%" in said and "the scale ends at 0.042%, the highest value here" in said
    assert np.allclose(tints(panels(draw_patch_words(words))[0]).get_facecolor()[0], TINT(1.0))
    said = " ".join(" ".join(texts_in_svg(draw_patch_words(words, scale="fixed"))).split())
    assert "the scale ends at 100%, the same in all figures" in said
    with pytest.raises(ConfigurationError, match="'data' or 'fixed'"):
        draw_patch_words(words, scale="log")  # type: ignore[arg-type]


def test_scales_of_colors() -> None:
    assert (value_scale("logit_lens", [0.2]).vmin, value_scale("logit_lens", [0.2]).vmax) == (
        0,
        0.2,
    )
    assert value_scale("logit_lens", [0.2], "fixed").vmax == 1
    scale = value_scale("input_similarity", [0.11, -0.02])
    assert (scale.vmin, scale.vmax) == (-0.02, 0.11)


def test_only_right_words_are_outlined_in_green(make_words: MakeWords) -> None:
    words = make_words([" Dog", "grass"], grid=(2, 2))  # dog, grass, dog, grass
    figure = draw_patch_words(words, truth=[{"dog"}, {"dog"}, None, {"sky", "GRASS"}])
    (panel,) = panels(figure)
    centers = {tuple((edge.mean(0) // 32).astype(int)) for edge in green_edges(panel)}
    assert centers == {(0, 0), (1, 1)} and len(green_edges(panel)) == 8  # column, row
    lines = [c for c in panel.collections if isinstance(c, LineCollection)]
    (diagonal,) = {
        tuple(s.ravel()) for c in lines for s in c.get_segments() if np.diff(s, axis=0).all()
    }
    assert diagonal == (0, 64, 32, 32)  # not known
    said = " ".join(texts_in_svg(figure))
    assert "the word is true of its patches" in said and "not known" in said
    assert not green_edges_or_none(draw_patch_words(words))


def green_edges_or_none(figure: Figure) -> bool:
    lines = [c for ax in figure.axes for c in ax.collections if isinstance(c, LineCollection)]
    return any(tuple(color) == to_rgba(RIGHT) for c in lines for color in c.get_colors())


def test_green_outlines_of_neighbors_do_not_meet(make_words: MakeWords) -> None:
    words = make_words(["dog", "sky"], grid=(1, 2), size=(60, 30))
    (panel,) = panels(draw_patch_words(words, truth=[{"dog"}, {"sky"}]))
    xs = green_edges(panel)[..., 0]
    left, right = xs[xs < 30].max(), xs[xs > 30].min()
    assert 29 < left < 30 < right < 31


def test_a_labelled_image_is_the_truth_for_any_grid(make_words: MakeWords) -> None:
    mask = np.zeros((64, 64), bool)
    mask[:32, :32] = True
    image = Image.new("RGB", (64, 64))
    labelled = LabelledImage(image, (LabelledObject(mask, "dog"),))
    for side in (2, 4, 8):
        words = make_words(["dog"], grid=(side, side))
        edges = green_edges(panels(words.plot(truth=labelled))[0])
        assert len(edges) == 2 * side and edges.max() < 32
    with pytest.raises(ConfigurationError, match="64 x 64 pixels, but the one that was read has 9"):
        make_words(size=(9, 9)).plot(truth=labelled)
    with pytest.raises(ConfigurationError, match="truth has 1 entries for 16"):
        make_words().plot(truth=[{"dog"}])
    with pytest.raises(ConfigurationError, match="not a str"):
        make_words().plot(truth="dog")  # type: ignore[arg-type]


def test_a_layer_is_called_output_only_if_it_is(make_words: MakeWords) -> None:
    words = make_words(layers=(0, 3))
    drawn = texts_in_svg(draw_word_panels([("m", [(words, 0), (words, 3)])]))
    assert "input (projector output)" in drawn and "layer 3 of 6" in drawn
    assert "output (layer 6 of 6)" in texts_in_svg(draw_patch_words(make_words()))
    unknown = make_words(layers=(0, 3), depth=None)
    assert "layer 3" in texts_in_svg(draw_patch_words(unknown, layer=3))


def test_selected_patches_show_each_models_words_in_order(make_words: MakeWords) -> None:
    before = make_words(["_DM", "_status", "\t\t"], kind="input_similarity", layers=(0,), top=0.08)
    after = make_words(["collar", "and", "tail"], top=0.876)
    drawn = texts_in_svg(draw_selected_patches([("LLaVA", before, after)], patches=[(0, 0)]))
    at = [drawn.index(text) for text in ("_DM", "_status", r"\t\t", "collar", "and", "tail")]
    assert at == sorted(at)
    assert "0.080" in drawn and "87.6%" in drawn
    assert "input: cosine" in drawn and "output: probability" in drawn


def test_highlights_only_the_named_words(make_words: MakeWords) -> None:
    words = make_words(["collar", "and", "tail"])
    figure = draw_selected_patches([("m", words, words)], None, [(0, 0)], 3, {(0, 0): {"tail"}})
    marked = {t.get_text() for t in figure.texts if t.get_bbox_patch() is not None}
    assert marked == {"tail"}


def test_a_sharper_picture_is_welcome_and_another_one_is_not(make_words: MakeWords) -> None:
    words = make_words()
    draw_patch_words(words, Image.new("RGB", (640, 640)))
    with pytest.raises(ConfigurationError, match="100 x 50 pixels"):
        draw_patch_words(words, Image.new("RGB", (100, 50)))


def test_unseen_parts_of_the_picture_are_faded(make_words: MakeWords) -> None:
    words = make_words(size=(64, 64))
    layout = words.layout
    object.__setattr__(layout, "image_size", (100, 64))  # the model saw the 64 columns at the left
    figure = draw_patch_words(words, Image.new("RGB", (100, 64)))
    (fade,) = [p for p in figure.axes[0].patches if p.get_alpha() is not None]
    assert fade.get_bbox().bounds == (64, 0, 36, 64)
    assert panels(figure)[0].get_xlim() == (0, 64)  # only what was seen has room for words


def test_cells_of_pure_padding_are_left_out(make_words: MakeWords) -> None:
    words = make_words(grid=(2, 2))
    words.layout.boxes[3] = [64, 64, 64, 64]
    assert len(tints(panels(draw_patch_words(words))[0]).get_paths()) == 3


def test_draws_on_axes_of_ones_own(make_words: MakeWords) -> None:
    figure = Figure(figsize=(8, 4))
    left, right = figure.subplots(1, 2)
    assert draw_patch_words(make_words(), layer=0, ax=left) is figure
    assert len(left.texts) == 16 and not right.texts
    assert left.get_title() == "input (projector output)"


@pytest.mark.long
def test_words_plot_is_the_same_figure(make_words: MakeWords) -> None:
    words = make_words()
    assert texts_in_svg(words.plot(layer=0)) == texts_in_svg(draw_patch_words(words, layer=0))


@pytest.mark.long
def test_the_comparison_says_that_models_are_miniature(make_words: MakeWords) -> None:
    words = make_words()
    rows = [("LLaVA", [(words, 0), (words, 6)]), ("LLaViT", [(words, 0), (words, 6)])]
    figure = draw_comparison(words.image, rows, truth=[{"dog"}] * 16)
    said = " ".join(texts_in_svg(figure))
    assert "Miniature" in said and "LLaVA" in said and "LLaViT" in said
    assert len(panels(figure)) == 4


@pytest.mark.long
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_figures_can_be_saved(make_words: MakeWords, awkward_words: list[str], suffix: str) -> None:
    page = io.BytesIO()
    draw_patch_words(make_words(awkward_words)).savefig(page, format=suffix)
    assert page.tell() > 1000


def test_bad_requests(make_words: MakeWords) -> None:
    words = make_words()
    picture = words.image
    for draw in (
        lambda: draw_word_panels([("m", [])], picture),
        lambda: draw_patch_words(words, layer=5),
        lambda: draw_patch_words(words, tile=1),
        lambda: draw_patch_words(words, truth=[{"dog"}]),
        lambda: draw_selected_patches([("m", words, words)], patches=[]),
        lambda: draw_selected_patches([("m", words, words)], patches=[(9, 0)]),
        lambda: draw_selected_patches([("m", words, words)], patches=[(0, 0)], k=4),
    ):
        with pytest.raises(ConfigurationError):
            draw()
    words.image = None
    with pytest.raises(ConfigurationError, match="image="):
        draw_patch_words(words)


@pytest.mark.parametrize("number", range(1, len(COLORS) + 1))
def test_the_number_of_a_patch_stands_out_from_its_color(
    number: int, make_words: MakeWords
) -> None:
    words = make_words(grid=(4, 4))
    patches = [(cell // 4, cell % 4) for cell in range(number)]
    figure = draw_selected_patches([("m", words, words)], patches=patches)
    texts = [text for text in figure.findobj(Text) if text.get_bbox_patch() is not None]
    badge = next(text for text in texts if text.get_text() == str(number))
    box = badge.get_bbox_patch()
    assert box is not None
    assert contrast(to_rgba(badge.get_color()), box.get_facecolor()) > 4.5


def test_a_long_name_of_a_model_stays_on_the_page(make_words: MakeWords) -> None:
    name = "/data/" + "very-long-name-of-a-folder/" * 12 + "first"
    figure = draw_word_panels([(name, [(make_words(), -1)])])
    texts = [text for text in figure.texts if text.get_text().endswith("/first")]
    assert len(texts) == 1 and texts[0].get_window_extent().x1 < figure.bbox.x1


def test_an_escape_stands_whole_or_not_at_all(make_words: MakeWords) -> None:
    words = make_words(["dog", 6 * "\u202e"], grid=(24, 24), size=(240, 240))
    words.ids[..., 0] = 0
    words.ids[:, 100, 0] = 1
    assert [t.get_text() for t in panels(draw_patch_words(words))[0].texts] == ["dog"]
    words.ids[:, 100:112, 0] = 1
    drawn = [t.get_text() for t in panels(draw_patch_words(words))[0].texts]
    assert sorted(drawn) == [6 * r"\u202e", "dog"]
