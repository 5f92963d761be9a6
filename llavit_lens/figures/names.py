"""What a person calls models, variants, categories and kinds of questions: one table of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from llavit_lens.figures.legible import drawable
from llavit_lens.rows import ROWS

CATEGORIES = {
    "vision_centric": "vision-centric",
    "ocr_chart": "reading signs",  # the paper's "OCR & chart"; the miniature world has no charts
    "knowledge": "knowledge",
    "general": "general",
}
"""Categories of questions, in the paper's order."""

KINDS = {
    "count": "How many things are there?",
    "count_signs": "How many signs are there?",
    "larger": "Which of two things is larger?",
    "relation": "What is beside this thing?",
    "at": "What is at this place?",
    "is_relation": "Is this thing beside that one?",
    "position": "Where is this thing?",
    "read": "What does the sign say?",
    "read_at": "What does the sign here say?",
    "read_kind": "Which word of a kind is there?",
    "read_relation": "Which word is beside this thing?",
    "word_kind_at": "What kind of word is here?",
    "word_position": "Where is this word?",
    "beside_word": "What is beside this word?",
    "says": "Does a sign say this?",
    "category_at": "What kind of thing is here?",
    "category_relation": "What kind is beside this thing?",
    "color_at": "What color is the thing here?",
    "color_relation": "What color is beside this thing?",
    "trait_at": "What goes with the thing here?",
    "trait_relation": "What goes with the one beside it?",
    "which_trait": "Which thing goes with this word?",
    "exist_trait": "Does a thing go with this word?",
    "count_category": "How many are of a kind?",
    "count_color": "How many have a color?",
    "exist": "Is this thing there?",
    "exist_kind": "Is a thing of this kind there?",
    "which": "Which thing of a kind is there?",
    "background": "What is the background here?",
    "behind": "What is behind this thing?",
}
"""Kinds of questions of the miniature world, as the question that they ask."""

_FIRST = "Separate QKV"
_DEMO = "demo:"
_LANGUAGE_MODEL = "shared/llm"  # where a recipe keeps the language model that all variants share


def category_name(category: str) -> str:
    """`vision-centric` for `vision_centric`; one that is not in the table without its `_`."""
    return CATEGORIES.get(category, category.replace("_", " "))


def in_order(categories: Iterable[str]) -> list[str]:
    """Categories, each once, in the order of the table; others after them as they come."""
    there = list(dict.fromkeys(categories))
    return [c for c in CATEGORIES if c in there] + [c for c in there if c not in CATEGORIES]


def kind_name(kind: str) -> str:
    """`Where is this thing?` for `position`; one that is not in the table without its `_`."""
    return KINDS.get(kind, kind.replace("_", " ").capitalize())


def variant_titles(variants: Iterable[str]) -> dict[str, str]:
    """What variants of the study are called side by side: `+ bidirectional` below its base."""
    variants = list(dict.fromkeys(variants))
    titles = {v: ROWS[v].title if v in ROWS else drawable(v.replace("_", " ")) for v in variants}
    if "separate_qkv" in titles:
        titles = {v: title.removeprefix(f"{_FIRST} ") for v, title in titles.items()}
    return titles


def model_titles(models: Iterable[str]) -> dict[str, str]:
    """What models are called side by side: the demo's by what they are, others by their last name.

    Those that would be called alike have as many of the folders before it as are needed.

    Args:
        models: names as `load` takes them, or of the language model before it has seen images.
    """
    models = list(dict.fromkeys(models))
    demos = variant_titles(m.removeprefix(_DEMO) for m in models if _is_demo(m))
    known = {m: demos[m.removeprefix(_DEMO)] for m in models if _is_demo(m)}
    known |= {m: "Language model" for m in models if m.rstrip("/").endswith(_LANGUAGE_MODEL)}
    titles = {m: known.get(m) or _last_parts(m, 1) for m in models}
    for parts in range(2, 2 + max((m.count("/") for m in models), default=0)):
        alike = Counter(titles.values())
        titles = {
            m: t if alike[t] == 1 or _is_demo(m) else _last_parts(m, parts)
            for m, t in titles.items()
        }
    return titles


def which_models(titles: Mapping[str, str]) -> str:
    """The sentence of a caption that says which models those of `model_titles` are."""
    parts = [drawable(m) if m == t else f"{t} is {drawable(m)}" for m, t in titles.items()]
    return f"Model{'s' * (len(parts) > 1)}: {', '.join(parts)}."


def _is_demo(model: str) -> bool:
    return model.startswith(_DEMO) and model.removeprefix(_DEMO) in ROWS


def _last_parts(model: str, parts: int) -> str:
    return drawable("/".join(model.rstrip("/").split("/")[-parts:]))
