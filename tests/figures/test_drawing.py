"""What stands on the page: the right words, in the right places, drawn literally."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import unescape

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures import (
    draw_comparison,
    draw_patch_words,
    draw_selected_patches,
    draw_word_panels,
)
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.style import COLORS, RIGHT, contrast, value_scale
from llavit_lens.results.words import Words

MakeWords = Callable[..., Words]


def texts_in_svg(figure: Figure) -> list[str]:
    """Every line of text of the figure, as an SVG reader finds it."""
    page = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(page, format="svg")
    return [unescape(t) for t in re.findall(r"<text[^>]*>([^<]*)</text>", page.getvalue())]


def bars(figure: Figure) -> list[Rectangle]:
    """The bars that hold the words of the first panel, in drawing order."""
    return [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and p.get_alpha() is None]


def test_each_word_stands_on_its_own_patch(make_words: MakeWords) -> None:
    words = make_words(["dog", "grass", "guitar", "sky", "sand"], grid=(3, 4), size=(80, 60))
    figure = draw_patch_words(words)
    drawn = {(t.get_position(), t.get_text()) for t in figure.axes[0].texts}
    assert len(drawn) == 12
    for (x, y), text in drawn:
        row, col = int(y // 20), int(x // 20)
        assert words.at(-1, row, col)[0].word == text


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
    vocabulary = ["elephant", "sky", "internationalization", "\u6309\u94ae", "\n", "building"]
    words = make_words(vocabulary, grid=(24, 24), size=(336, 336), layers=(32,), depth=32)
    figure = draw_patch_words(words)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    cell = ax.transData.transform((14, 0))[0] - ax.transData.transform((0, 0))[0]
    for text in ax.texts:
        assert text.get_window_extent().width <= cell
        assert text.get_fontsize() >= 4.5


def test_color_is_the_probability_and_the_ink_stands_out(make_words: MakeWords) -> None:
    palette = matplotlib.colormaps["magma"]
    for probability in (0.02, 0.3, 0.5, 0.7, 0.99):
        figure = draw_patch_words(make_words(top=probability))
        color = bars(figure)[0].get_facecolor()
        # values are float32, the palette has 256 steps
        assert np.allclose(color, palette(probability), atol=0.02)
        for text in figure.axes[0].texts:
            assert contrast(to_rgba(text.get_color()), color) >= 4.5


def test_cosines_have_a_scale_of_their_own() -> None:
    assert (value_scale("logit_lens", [0.2]).vmin, value_scale("logit_lens", [0.2]).vmax) == (0, 1)
    scale = value_scale("input_similarity", [0.11, -0.02])
    assert (scale.vmin, scale.vmax) == (-0.02, 0.11)


def test_only_right_words_are_outlined_in_green(make_words: MakeWords) -> None:
    words = make_words([" Dog", "grass"], grid=(2, 2))  # dog, grass, dog, grass
    figure = draw_patch_words(words, truth=[{"dog"}, {"dog"}, None, {"sky", "GRASS"}])
    edges = [bar.get_edgecolor() for bar in bars(figure)]
    green = to_rgba(RIGHT)
    assert [edge == green for edge in edges] == [True, False, False, True]
    assert edges[2][3] == 0 and edges[1][3] == 1  # not judged: no outline; wrong: a neutral one


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


def test_cells_of_pure_padding_are_left_out(make_words: MakeWords) -> None:
    words = make_words(grid=(2, 2))
    words.layout.boxes[3] = [64, 64, 64, 64]
    assert len(draw_patch_words(words).axes[0].texts) == 3


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
    assert "miniature" in said and "LLaVA" in said and "LLaViT" in said
    assert len([ax for ax in figure.axes if len(ax.texts) == 16]) == 4


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
