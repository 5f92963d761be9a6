"""The page models.md, from the table of families and the set-ups that the tests run.

python docs/models.py
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.families.refused import REFUSED

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "models.md"
sys.path.insert(0, str(ROOT / "tests" / "support"))

from family_case import Case  # noqa: E402
from family_cases import CASES, READ  # noqa: E402

HEAD = """\
<!-- written by docs/models.py -->
# Models

`ll.load` reads the models that transformers' `AutoModelForImageTextToText` loads. This page says
what works for which type, as of transformers {version}. A type is what `config.json` calls
`model_type`.

## Read and tested

For each row the tests build a tiny random model and the real processor of transformers. They prove
that the words after the last layer are the model's own, that other pixels change the visual tokens
and no others, and that the box of a token is the place in the image that it shows. They do not run
real checkpoints: on yours, `ll.check_layout` paints boxes and looks which tokens change.

| type | for example | tokens lie in | boxes | knockouts | good to know |
|---|---|---|---|---|---|
{read}

**tokens lie in:** *one grid*: the image is seen in one piece. *tiles*: a large image is cut into
tiles, each with a grid of its own, and seen whole once more. *stitched tiles*: the tiles are put
together to one grid; tokens that end its rows are left out. *rows*: patches in rows, as many as
the image needs. *shaped tiles*: tiles with grids of different shapes. *given indices*,
*coordinates*: the processor says for each token what it shows. *codes*: each token is a word of a
code book for images. *no map*: each token has read the whole image (a Q-Former or a resampler), so
there are words by token and no boxes.

**boxes:** *exact*: computed as the processor does. *measured*: four images of known brightness go
through the processor and show where each number comes from. *none*: there is no map.

**knockouts:** *complete*: all tokens are mixed by attention, and a knockout cuts what it says.
*not in all layers*: some layers mix tokens by a convolution or a recurrence that no mask reaches;
a knockout in such a layer is an error, and Eq. 5 works.

## Read, and tested on text alone

For these types the tests prove the words, on text. Where their visual tokens lie is measured on
your images, but for the few whose family is described. Where that fails, an error says why.
(`inkling_mm_model` and `perception_lm` are tested only where scipy and timm are installed.)

{others}

## Refused

| type | what such a model does |
|---|---|
{refused}

A type that is on none of these lists came with a newer transformers. It is read as those that are
tested on text alone. For a model that you changed yourself: [a model of your own](families.md).
"""


def page() -> str:
    """The whole page."""
    return HEAD.format(
        version=transformers.__version__,
        read="\n".join(map(row, READ)),
        others=wrapped(f"`{kind}`" for kind in others()),
        refused="\n".join(refusals()),
    )


def row(name: str) -> str:
    """A line of the table for a set-up of the tests."""
    case = CASES[name]
    family = family_of(SimpleNamespace(model_type=case.model_type, **parts(case)))
    kind = f"`{case.model_type}`"
    if case.name != case.model_type:
        kind += {"pixtral": " with a Pixtral tower", "gemma3_pan": " with pan-and-scan"}[name]
    knockouts = "complete" if case.maskable else "not in all layers"
    cells = (kind, example(case), case.kind, family.precision, knockouts, "; ".join(notes(case)))
    return f"| {' | '.join(cells)} |"


def parts(case: Case) -> dict[str, SimpleNamespace]:
    """What the family of a case depends on besides its type."""
    vision = case.config.get("vision_config", {})
    return {"vision_config": SimpleNamespace(model_type=vision.get("model_type", ""))}


EXAMPLES = {
    "qwen2_5_vl": "Qwen/Qwen2.5-VL-7B-Instruct",
    "glm46v": "zai-org/GLM-4.6V",
    "got_ocr2": "stepfun-ai/GOT-OCR-2.0-hf",
    "granite4_vision": "",
    "pixtral": "mistral-community/pixtral-12b",
}
"""Where transformers' documentation names a checkpoint of another type."""


def example(case: Case) -> str:
    """A checkpoint that transformers' own documentation names for the type."""
    if case.name in EXAMPLES:
        return EXAMPLES[case.name]
    found = re.search(r"huggingface\.co/([\w.-]+/[\w.-]+)", CONFIG_MAPPING[case.model_type].__doc__)
    return found[1] if found else ""


def notes(case: Case) -> list[str]:
    """What a user of the family has to know."""
    return [
        text
        for holds, text in (
            (case.sees_itself, "visual tokens attend to later ones by design"),
            (case.added_later, "features of the image are added again between the first layers"),
            (case.after_head, "logits are scaled, capped or barred where the config says so, and "
             "the lens follows"),
            (case.experts, "a mixture of experts: equal passes differ by rounding"),
            (case.kind == "codes", "boxes are counted, and not painted"),
            (case.needs_torchvision, "its processor needs torchvision"),
        )
        if holds
    ]  # fmt: skip


def others() -> list[str]:
    """Types that are read, and have no line in the table of families."""
    known = {CASES[name].model_type for name in READ}
    every = set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES) - {"llavit"}
    return sorted(every - known - set(REFUSED))


def refusals() -> list[str]:
    """Lines of the table of refused types, those with one reason together."""
    types = defaultdict(list)
    for kind, reason in REFUSED.items():
        types[reason].append(f"`{kind}`")
    return [f"| {', '.join(kinds)} | {reason} |" for reason, kinds in types.items()]


def wrapped(words: Iterable[str], width: int = 130) -> str:
    """Words with commas between, in lines."""
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f"{word}, "
    return "\n".join(line.rstrip() for line in lines).removesuffix(",") + "."


if __name__ == "__main__":
    PAGE.write_text(page())
