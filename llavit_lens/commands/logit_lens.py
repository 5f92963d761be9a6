"""What `llavit-lens lens` and `analyses/logit_lens.py` do: words by layer, printed and drawn."""

from __future__ import annotations

from pathlib import Path

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.open import open_image
from llavit_lens.inputs import FIGURES, PAGES, TABLES, check_out, is_figure
from llavit_lens.output import print_file, write_files
from llavit_lens.shipped import EXAMPLE_PREFIX, example_of, example_path
from llavit_lens.typed_numbers import parse_layers, parse_tile
from llavit_lens.waiting import PYTORCH, waiting

MOST_PANELS = 6  # layers that one figure shows side by side


def logit_lens_report(
    image: Path | None,
    model: str,
    baseline: str | None = None,
    prompt: str | None = None,
    layers: str | None = None,
    k: int = 5,
    out: Path | None = None,
    tile: str | None = None,
) -> None:
    """Words of one image by the logit lens, for one model or two side by side.

    Args:
        image: the image; default: the first example scene. True words of example scenes are marked.
        model, baseline: as `load` takes them.
        prompt: what the models are asked.
        layers: as `parse_layers`; default: input, middle and output for a figure, all otherwise.
        k: how many words of each patch a table holds, and how many are printed for each layer.
        out: where to write, in the format of its suffix; default: only print.
        tile: as `parse_tile`, of an image that the models see in several; default: all of it.

    Raises:
        LlavitLensError: an argument that makes no sense, or a model or image that cannot be read.
    """
    check_out(out, FIGURES + TABLES + PAGES)
    numbers = None if layers is None else parse_layers(layers)
    draws = out is not None and is_figure(out)
    if tile is not None and not draws:
        raise ConfigurationError(
            "--tile chooses what a figure shows: write one with --out words.png (a table with "
            "--out words.csv and a page with --out words.html have all tiles)"
        )
    tile_number = None if tile is None else parse_tile(tile)
    is_page = out is not None and out.suffix.lower() in PAGES
    if draws and numbers is not None:
        _check_panels(len(numbers))
    opened = open_image(example_path() if image is None else image)  # before any slow import
    with waiting(PYTORCH):
        from llavit_lens.commands.word_tables import (
            print_by_token,
            print_frequent,
            scene_of,
            traces_of_image,
            write_words,
        )
        from llavit_lens.lens.input_similarity import input_similarity
        from llavit_lens.lens.logit_lens import logit_lens
    named_words, similar = [], []
    for name, trace in traces_of_image(opened, model, baseline, prompt, k):
        if (draws or is_page) and not trace.layout.has_map:
            raise ConfigurationError(
                f"{name}: {trace.layout.summary}; there is no map to draw: write a table with "
                "--out words.csv, or leave --out out to print the words of each token"
            )
        if draws:
            if layers is None:
                numbers = [0, trace.n_layers // 2, trace.n_layers]
            _check_panels(trace.n_layers + 1 if numbers is None else len(numbers))
        named_words.append((name, logit_lens(trace, k, numbers)))
        if is_page:
            similar.append(input_similarity(trace, k))
    if out is not None and draws:
        from llavit_lens.figures import draw_word_panels

        rows = [(name, [(words, layer) for layer in words.layers]) for name, words in named_words]
        write_files({out: draw_word_panels(rows, truth=scene_of(image), tile=tile_number)})
    elif out is not None and is_page:
        from llavit_lens.viewer.show import show

        view = show(
            *(words for _, words in named_words),
            *similar,
            titles=[name for name, _ in named_words],
            image=None if (scene := example_of(image)) is None else EXAMPLE_PREFIX + scene,
        )
        write_files({out: view.to_html()})
    elif out is not None:
        write_words(named_words, out)
    for name, words in named_words:
        if words.layout.has_map:
            print_frequent(name, words, k)
        else:
            print_by_token(name, words, _columns(words.layers, numbers))
    print_file(out)


def _columns(read: list[int], asked: list[int] | None) -> list[int]:
    """The layers of a table of tokens: those asked for, as far as a line has room; by default the
    input, the middle and the output."""
    return read[:MOST_PANELS] if asked else [read[0], read[len(read) // 2], read[-1]]


def _check_panels(layers: int) -> None:
    if layers > MOST_PANELS:
        raise ConfigurationError(
            f"{layers} layers do not fit into one figure: choose at most {MOST_PANELS} with "
            "--layers, or write a table with --out words.csv"
        )
