"""What `analyses/word_maps.py` does: ask about scenes with true words in place of the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.figure import Figure
from llavit_lens.figures.names import kind_name, model_titles, which_models
from llavit_lens.miniature.benchmark.evaluate import BenchmarkScene, answers, benchmark_scenes
from llavit_lens.miniature.recipe.shared_parts import SHIPPED
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.output import make_folder, print_report_files, write_report
from llavit_lens.printing import print_notes, print_table, progress_bar
from llavit_lens.studies.redraw import draw_again
from llavit_lens.studies.tables.kinds import Kind, kinds_table, share_right
from llavit_lens.studies.tables.kinds_figure import HALF_INTERVAL, READ_KINDS, draw_kinds
from llavit_lens.studies.text_only.base_llm import load_base
from llavit_lens.studies.text_only.text_model import plain_decoder, text_model
from llavit_lens.studies.word_maps.measure import answers_from_words, check_words
from llavit_lens.vlm.program import load

TITLE = "What is answered from true words in place of an image"
CAPTION = (
    "Percent of right answers by kind of question, from a map of words or from the image. The map "
    "has one true word for each patch. The language model is asked before it learned to see; the "
    "other models have since seen images, but no maps. {scenes} held-out scenes of the miniature "
    f"world. {READ_KINDS} {HALF_INTERVAL}"
)
WORDS, IMAGES = "words", "pictures"  # as the table in files calls them
_DRAWN = {WORDS: "words", IMAGES: "image"}
BASE = "language model"
COLUMNS = ("category", "kind", "asked", "guess", "scenes", "model", "asked_on", "value")


def word_maps_report(
    models: Sequence[str], base: str | None, scenes: int, seed: int, out: Path | None
) -> None:
    """Right answers by kind of question, from maps of words and from images.

    Args:
        models: VLMs of the miniature, as `load` takes them; at most 2. Each is asked about the
            image, and its language model alone about the map.
        base: folder of the language model that they were trained from, which is asked about the
            map; None for that of the demo models.
        scenes: held-out scenes of the miniature world.
        seed: which set of them.
        out: folder for word_maps.csv, .png and .pdf.

    Raises:
        LlavitLensError: a model that cannot be read or is none of the miniature's, fewer than 1
            scene, or a folder that cannot be written to.
    """
    make_folder(out)
    if scenes < 1:
        raise ConfigurationError(f"--scenes {scenes}: there must be at least 1 scene")
    held_out_seed(seed, 0)
    vlms = [load(name) for name in models]
    alone = [replace(text_model(vlm), model=plain_decoder(vlm)) for vlm in vlms]
    for text in alone:
        check_words(text)
    before = load_base(base or str(SHIPPED / "llm"), alone[-1])
    check_words(before)
    benchmark = benchmark_scenes(scenes, seed)
    ways = {(BASE, WORDS): partial(answers_from_words, before)}
    for vlm, text in zip(vlms, alone, strict=True):
        ways[vlm.name, WORDS] = partial(answers_from_words, text)
        ways[vlm.name, IMAGES] = partial(answers, vlm)
    shares = {
        _way(name, what): [_ask(name, answer, benchmark)] for (name, what), answer in ways.items()
    }
    questions = [question for scene in benchmark for question in scene.questions]
    by_variant = kinds_table(questions, shares)
    names = pd.DataFrame(list(ways), columns=["model", "asked_on"], index=list(shares))
    table = by_variant.assign(scenes=scenes).join(names, on="variant")[
        ["category", "kind", "example", "asked", "guess", "scenes", "model", "asked_on", "value"]
    ]
    write_report("word_maps", table, draw_word_maps(table), out)
    _print(table, scenes)
    print_report_files("word_maps", out)


def redraw_word_maps(table: Path, out: Path | None) -> None:
    """Draw the figure of a table that `word_maps_report` wrote.

    Raises:
        ConfigurationError: as `draw_again`.
    """
    draw_again("word_maps", table, COLUMNS, draw_word_maps, out)


def draw_word_maps(table: pd.DataFrame) -> Figure:
    """Draw the table of `word_maps_report`: a column for each model and what it is asked on."""
    names = model_titles(name for name in table["model"] if name != BASE)
    ways = table[["model", "asked_on"]].drop_duplicates().itertuples(index=False)
    titles = {
        _way(model, what): f"{names.get(model, 'Language model')}: {_DRAWN.get(what, what)}"
        for model, what in ways
    }
    variants = [_way(*pair) for pair in zip(table["model"], table["asked_on"], strict=True)]
    shown = table.assign(variant=variants, seeds=1, lowest=table["value"], highest=table["value"])
    caption = CAPTION.format(scenes=table["scenes"].iloc[0])
    return draw_kinds(shown, TITLE, f"{caption} {which_models(names)}", titles)


def _way(model: str, asked_on: str) -> str:
    return f"{model} on {asked_on}"


def _ask(
    name: str, answer: Callable[[BenchmarkScene], list[str]], benchmark: list[BenchmarkScene]
) -> dict[Kind, float]:
    steps = progress_bar(benchmark, f"asking {name}")
    return share_right(
        pair for scene in steps for pair in zip(scene.questions, answer(scene), strict=True)
    )


def _print(table: pd.DataFrame, scenes: int) -> None:
    print_notes(
        f"Percent of right answers on {scenes} held-out scenes, by kind of question: of the "
        "language model (LLM) on words; of each model on words, then on images."
    )
    models = list(dict.fromkeys(table["model"]))[1:]
    lines = []
    for _, rows in table.groupby(["category", "kind"], sort=False):
        kind, guess = rows[["kind", "guess"]].iloc[0]
        percent = (100 * rows.set_index(["model", "asked_on"])["value"]).map("{:3.0f}".format)
        lines.append(
            [
                kind_name(kind),
                f"{100 * guess:.0f}",
                percent[BASE, WORDS],
                *(f"{percent[name, WORDS]}, {percent[name, IMAGES]}" for name in models),
            ]
        )
    print_table(["", "guess", "LLM", *models], lines)
