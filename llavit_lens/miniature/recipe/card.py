"""The model card of a demo checkpoint: what it is, how it was made, what it scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llavit_lens.disk import write_text_atomically
from llavit_lens.miniature.recipe.documents import MAP_SHARE
from llavit_lens.miniature.recipe.presets import Preset
from llavit_lens.miniature.world.fingerprint import world_fingerprint
from llavit_lens.rows import Row

_CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
tags: [llavit, llava, interpretability, miniature]
---
# llavit-lens demo: {variant} (miniature)

**This is a miniature.** A model of {millions:.1f} M parameters, trained in minutes on drawn scenes
of emoji. It shows how LLaVA and LLaViT (arXiv 2511.10301) process pictures; it says nothing about
photographs, and its scores say nothing about models of real size.

Switches: separate_visual_qkv={separate_visual_qkv}, visual_attention={visual_attention},
{features}.

## Recipe
Made by `llavit-lens demo train --variant {variant} --seed {seed} --preset {preset}`
({minutes} minutes after the shared part on {machine}, {precision}; {versions}), in the world
{world}.

1. Vision tower (shared by all variants): a CLIP ViT trained on scene-caption pairs alone,
   contrastive (class token against caption) and multi-instance (each word of it on some patch);
   {tower}. It sees no label of any patch.
2. Language model (shared): Qwen2 architecture, text alone: look-ups and passages over thousands of
   words, captions, questions answered from them; {llm}.
   It never sees a picture. Two of its heads start as an induction head. **A shortcut:** {maps:.0%}
   of its texts hold a scene as a map of words, one for each patch in raster order, with the
   embedding of its place's name added; some of these words are targets, like the rest of a text. So
   it knows pictures made of words, and what the next patch may hold, before it meets visual tokens:
   more than Qwen or Vicuna do. Part of what deep layers read rests on that.
3. Stage 1: projector and visual QKV on captions, the rest frozen;
   {stage_1}.
4. Stage 2: language model, projector and visual QKV on questions and answers; {stage_2}.
   In both stages no visual token has a target but the last, in stage 1: the caption's first word.
   Newlines and turn markers of the user are no targets (in LLaVA-NeXT's data for Qwen they are), so
   that the newline on top is rarer here than it would be.

## Scores
On {scenes} held-out scenes (`llavit-lens demo score --scenes {scenes} --seed {score_seed}`).
Object patches: share whose top-3 words hold a true word (hit), the object's name (name); chance is
the same words against patches of other scenes. Best layer, chosen on other scenes: {best}.

{table}

After stage 1, where captions are all that the model has seen:

{table_1}

Accuracy of the answers: {accuracy} (after stage 1: {accuracy_1}; by guessing from the words of the
question alone: {guess}).
"""


COLUMNS = ("hit3", "chance3", "name3", "name_chance3", "background3", "newline1")


def write_card(folder: Path, record: dict[str, Any], variant: Row, preset: Preset) -> None:
    """Write `folder/README.md` from what `scores.json` holds."""
    first, scores = record["scores"].values()
    size = sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 2e6
    schedules = {
        name: f"{s.steps} steps of {s.batch}, learning rate {s.learning_rate:g}"
        + "".join(f", {part} {rate:g}" for part, rate in s.learning_rates.items())
        for name, s in vars(preset).items()
        if name in ("tower", "llm", "stage_1", "stage_2")
    }
    text = _CARD.format(
        **{**record, "versions": ", ".join(f"{k} {v}" for k, v in record["versions"].items())},
        **schedules,
        millions=size,
        separate_visual_qkv=variant.separate_visual_qkv,
        visual_attention=variant.visual_attention,
        features="features of tower layers 2, 4 and 5"
        if variant.local_and_global
        else "features of tower layer 5",
        maps=MAP_SHARE,
        world=world_fingerprint(),
        scenes=scores["scenes"],
        score_seed=scores["seed"],
        best=scores["best_layer"]["layer"],
        table=_table(scores),
        table_1=_table(first),
        accuracy=_accuracy(scores["accuracy"]),
        accuracy_1=_accuracy(first["accuracy"]),
        guess=_accuracy(scores["guess"]),
    )
    write_text_atomically(folder / "README.md", text)


def _table(scores: dict[str, Any]) -> str:
    rows = [("input, cosine", scores["input_similarity"])]
    rows += [(f"{row['layer']}, logit lens", row) for row in scores["layers"]]
    lines = [
        "| layer | hit@3 | chance | name@3 | chance | background@3 | newline on top |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows:
        lines.append(f"| {name} | {' | '.join(f'{row[column]:.2f}' for column in COLUMNS)} |")
    return "\n".join(lines)


def _accuracy(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
