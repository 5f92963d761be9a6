"""What `analyses/text_only.py` does: ask models without a picture, print, draw, save."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from llavit_lens.disk import read_text
from llavit_lens.errors import ConfigurationError
from llavit_lens.output import make_folder, print_report_files, write_report
from llavit_lens.printing import print_notes, print_table, progress, with_interval
from llavit_lens.studies.text_only.base_llm import load_base
from llavit_lens.studies.text_only.figure import draw_text_only
from llavit_lens.studies.text_only.measure import (
    TextModel,
    TextQuestion,
    TextResult,
    ask,
    difference_from_plain_decoder,
    plain_words,
    text_model,
)
from llavit_lens.studies.text_only.questions import text_questions
from llavit_lens.studies.text_only.table import ALL, text_table
from llavit_lens.vlm.load import load

_CHECKED = 8  # questions on which logits are compared


def text_only_report(
    models: Sequence[str],
    base: str | None,
    questions: Path | None,
    documents: int,
    seed: int,
    out: Path | None,
) -> None:
    """What models answer without a picture: accuracy, and how likely the right answer is to them.

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
    asked = text_questions(documents, seed) if questions is None else read_questions(questions)
    answered: dict[str, list[TextResult]] = {}
    notes = []
    for name in models:
        vlm = load(name)
        last = text_model(vlm)
        answered[name] = _answers(last, asked)
        difference = difference_from_plain_decoder(vlm, asked[:_CHECKED])
        notes.append(
            f"{name} without a picture and transformers' own decoder with its text weights: logits "
            f"differ by at most {difference:.2g}."
        )
    if base is not None:
        answered = {base: _answers(load_base(base, last), asked), **answered}
    table = text_table(asked, answered)
    write_report("text_only", table, draw_text_only(table), out)
    _print(table, notes)
    print_report_files("text_only", out)


def read_questions(path: Path) -> list[TextQuestion]:
    """Questions from a file with a JSON object on each line: question, answer and, if categories
    are to be told apart, category.

    Raises:
        ConfigurationError: no such file, fewer than 2 questions, or a line that is not such one.
    """
    lines = read_text(path).split("\n")
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            question, answer = fields["question"], fields["answer"]
            category = fields.get("category", "questions")
            texts = all(isinstance(text, str) for text in (question, answer, category))
            (question + answer + category).encode()  # half of a surrogate pair is no text
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            texts = False
        if not texts or not question.strip() or not plain_words(answer):
            raise ConfigurationError(
                f"--questions {path}, line {number}: is not an object such as "
                '{"question": "What is 2 + 2?", "answer": "4"}'
            )
        found.append(TextQuestion(question, answer, category, number))
    if len(found) < 2:
        raise ConfigurationError(f"--questions {path}: has {len(found)}; intervals need at least 2")
    return sorted(found, key=lambda one: one.category)


def _answers(model: TextModel, asked: list[TextQuestion]) -> list[TextResult]:
    return list(progress(ask(model, asked), f"asking {model.name}", len(asked)))


def _print(table: pd.DataFrame, notes: Sequence[str]) -> None:
    models = list(dict.fromkeys(table["model"]))
    for measure, title in (
        ("accuracy", "Right answers without a picture"),
        ("nll", "-log p(right answer) without a picture, in nats"),
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
