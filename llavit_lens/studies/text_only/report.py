"""What `analyses/text_only.py` does: ask models without an image, print, draw, save."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from llavit_lens.errors import ConfigurationError
from llavit_lens.output import make_folder, print_report_files, write_report
from llavit_lens.printing import print_notes, print_table, progress_bar, with_interval
from llavit_lens.studies.redraw import draw_again
from llavit_lens.studies.text_only.base_llm import load_base
from llavit_lens.studies.text_only.figure import draw_text_only
from llavit_lens.studies.text_only.measure import (
    TextResult,
    ask,
    difference_from_plain_decoder,
)
from llavit_lens.studies.text_only.table import ALL, COLUMNS, text_table
from llavit_lens.studies.text_only.text_model import TextModel, text_model
from llavit_lens.studies.text_only.text_questions import (
    TextQuestion,
    read_questions,
    text_questions,
)
from llavit_lens.vlm.program import load

_CHECKED = 8  # questions on which logits are compared


def text_only_report(
    models: Sequence[str],
    base: str | None,
    questions: Path | None,
    documents: int,
    seed: int,
    out: Path | None,
) -> None:
    """What models answer without an image: accuracy, and how likely the right answer is to them.

    Args:
        models: VLMs, as `load` takes them; at most 2.
        base: folder or Hub name of the language model that they were trained from.
        questions: a file of questions and answers, see `read_questions`; None for those about
            passages of the miniature's general text.
        documents: how many of these passages.
        seed: which set of them.
        out: folder for text_only.csv, .png and .pdf.

    Raises:
        LlavitLensError: a model or file that cannot be read, fewer than 2 texts, or a folder that
            cannot be written to.
    """
    make_folder(out)
    if questions is None and documents < 2:
        raise ConfigurationError(f"--documents {documents}: intervals need at least 2")
    texts = text_questions(documents, seed) if questions is None else read_questions(questions)
    answered: dict[str, list[TextResult]] = {}
    notes = []
    for name in models:
        vlm = load(name)
        last = text_model(vlm)
        answered[name] = _answers(last, texts)
        difference = difference_from_plain_decoder(vlm, texts[:_CHECKED])
        notes.append(
            f"{name} without an image and transformers' own decoder with its text weights: logits "
            f"differ by at most {difference:.2g}."
        )
    if base is not None:
        answered = {base: _answers(load_base(base, last), texts), **answered}
    table = text_table(texts, answered)
    write_report("text_only", table, draw_text_only(table), out)
    _print(table, notes)
    print_report_files("text_only", out)


def redraw_text_only(table: Path, out: Path | None) -> None:
    """Draw the figure of a table that `text_only_report` wrote.

    Raises:
        ConfigurationError: as `draw_again`.
    """
    draw_again("text_only", table, COLUMNS, draw_text_only, out)


def _answers(model: TextModel, questions: list[TextQuestion]) -> list[TextResult]:
    return list(progress_bar(ask(model, questions), f"asking {model.name}", len(questions)))


def _print(table: pd.DataFrame, notes: Sequence[str]) -> None:
    models = list(dict.fromkeys(table["model"]))
    for measure, title in (
        ("accuracy", "Right answers without an image"),
        ("nll", "-log p(right answer) without an image, in nats"),
    ):
        rows = table[table["measure"].eq(measure)].set_index(["category", "model"])
        lines = []
        for category in dict.fromkeys(table["category"]):
            of_models = [rows.loc[(category, model)] for model in models]
            estimates = (with_interval(row, 3) for row in of_models)
            lines.append([category.replace("_", " "), str(of_models[0]["n"]), *estimates])
        print_table(["questions", "n", *models], lines, f"{title} (± half a 95 % interval)")
    whole = table[table["category"].eq(ALL) & table["model"].ne(models[0])]
    for row in whole.itertuples():
        print_notes(
            f"{row.model} against {models[0]}, all questions, {row.measure}: {row.change:+.3f} "
            f"({row.change_low:+.3f} to {row.change_high:+.3f})"
        )
    print_notes(*notes)
