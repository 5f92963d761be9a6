"""What `analyses/word_maps.py` does: ask about scenes with true words in place of the picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import track
from rich.table import Table

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.base_llm import load_base
from llavit_lens.evaluation.text_only import plain_decoder, text_model
from llavit_lens.figures.kinds import draw_kinds
from llavit_lens.miniature.examine import Exam, answers, exams
from llavit_lens.miniature.kinds import Kind, kinds_table, share_right
from llavit_lens.miniature.map_exam import answers_from_words
from llavit_lens.reports.files import make_folder, write_report
from llavit_lens.vlm.load import load

TITLE = "What language models answer when every patch is a true word"
NOTE = "On words: a map of words in place of the picture."
WORDS, PICTURES = "on words", "on pictures"
BASE = f"language model {WORDS}"


def word_maps_report(
    models: Sequence[str], base: str, scenes: int, seed: int, out: Path | None
) -> None:
    """Right answers by kind of question, from maps of words and from pictures.

    Args:
        models: VLMs of the miniature, as `load` takes them; at most 2. Each is asked about the
            picture, and its language model alone about the map.
        base: folder of the language model that they were trained from; it is asked about the map.
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
    vlms = [load(name) for name in models]
    alone = [replace(text_model(vlm), model=plain_decoder(vlm)) for vlm in vlms]
    before = load_base(base, alone[-1])
    asked = exams(scenes, seed)
    shares = {BASE: [_ask(base, partial(answers_from_words, before), asked)]}
    for vlm, text in zip(vlms, alone, strict=True):
        for what, answer in (
            (WORDS, partial(answers_from_words, text)),
            (PICTURES, partial(answers, vlm)),
        ):
            name = f"{vlm.name} {what}"
            shares[name] = [_ask(name, answer, asked)]
    table = kinds_table([question for exam in asked for question in exam.asked], shares)
    _print(table, [vlm.name for vlm in vlms], scenes)
    write_report("word_maps", table, draw_kinds(table, TITLE, NOTE), out)


def _ask(name: str, answer: Callable[[Exam], list[str]], asked: list[Exam]) -> dict[Kind, float]:
    steps = track(asked, f"asking {name}", console=Console(stderr=True))
    return share_right(
        pair for exam in steps for pair in zip(exam.asked, answer(exam), strict=True)
    )


def _print(table: pd.DataFrame, models: Sequence[str], scenes: int) -> None:
    console = Console()
    console.print(
        f"Percent of right answers on {scenes} held-out scenes, by kind of question: of the "
        "language model (LLM) on words; of each model on words, then on pictures."
    )
    shown = Table("", "guess", "LLM", *models, box=SIMPLE)
    for _, rows in table.groupby(["category", "kind"], sort=False):
        category, kind = rows["category"].iloc[0], rows["kind"].iloc[0]
        share = dict(zip(rows["variant"], 100 * rows["value"], strict=True))
        cells = (f"{share[f'{m} {WORDS}']:3.0f}, {share[f'{m} {PICTURES}']:3.0f}" for m in models)
        guess = f"{100 * rows['guess'].iloc[0]:.0f}"
        name = f"{category.split('_')[0]}, {kind}".replace("_", " ")
        shown.add_row(name, guess, f"{share[BASE]:.0f}", *cells)
    console.print(shown)
