"""Train a demo model: the world, the tower and language model, then the paper's two stages.

Tower and language model, the costly part, come with the package; `anew` pretrains them too.

    OUT/shared/            pictures, tokenizer, tower, llm: once, used by every variant and seed
    OUT/<variant>-seed<N>/ stage_1/, stage_2/ (runs), model/ (the result, a Hugging Face folder)

Every step leaves its result on disk and is skipped when that is there; a run continues from its
last checkpoint. Nothing is trained twice, and an interruption costs at most a tenth of one run.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import CLIPVisionModel, Qwen2ForCausalLM
from transformers.utils import is_accelerate_available

from llavit_lens.disk import (
    read_json,
    user_path,
    write_folder_atomically,
    write_text_atomically,
)
from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.benchmark.score import score_model
from llavit_lens.miniature.recipe.card import write_card
from llavit_lens.miniature.recipe.instructions import (
    CAPTION_SHARE,
    QUESTIONS,
    TEXT_ONLY_SHARE,
    Captions,
    CollateExamples,
    Instructions,
)
from llavit_lens.miniature.recipe.presets import Preset, preset_named
from llavit_lens.miniature.recipe.processes import in_processes
from llavit_lens.miniature.recipe.shared_parts import load_tokenizer, prepare_shared
from llavit_lens.miniature.recipe.variants import build_processor, build_variant, variant_named
from llavit_lens.miniature.world.corpus import Corpus
from llavit_lens.miniature.world.render import emoji_font_path
from llavit_lens.model import LlavitForConditionalGeneration
from llavit_lens.rows import Row
from llavit_lens.training.run import Schedule, TrainingHistory, has_fast_bf16, run
from llavit_lens.training.run_folder import check_recipe, sha256
from llavit_lens.training.stages import FINETUNE, PRETRAIN, Stage
from llavit_lens.vlm.vlm import VLM


def train_demo(
    variant: str,
    seed: int,
    out: Path,
    preset: str = "cpu",
    shared: Path | None = None,
    anew: bool = False,
) -> Path:
    """Train one variant; returns the folder of the finished model.

    variant: a name in `ROWS`. seed: of the projector's start and of the order of the data.
    shared: where the shared part is or goes, `out/shared` by default.
    anew: pretrain tower and language model even where those that ship would do.

    Raises ConfigurationError for an unknown variant or preset, a folder that another recipe has
    begun, and without the emoji font or accelerate.
    """
    row, sizes = variant_named(variant), preset_named(preset)
    emoji_font_path()
    if not is_accelerate_available():
        raise ConfigurationError("training needs accelerate: pip install 'accelerate>=1.13'")
    out = user_path(out, what="the folder to write")
    shared = user_path(shared or out / "shared", what="the folder of the shared part")
    folder = out / f"{variant}-seed{seed}"
    for needed in (shared, folder):
        try:
            needed.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot make the folder {needed}: {error.strerror}"
            ) from error
    prepare_shared(shared, sizes, anew)
    _check_variant(folder, row, seed, shared, sizes)
    if not (folder / "model").is_dir():
        in_processes([(train_variant, (row, seed, folder, shared, sizes))])
    return folder / "model"


def train_variant(variant: Row, seed: int, folder: Path, shared: Path, preset: Preset) -> None:
    """Both stages of one variant on the shared parts; writes `folder/model`."""
    tokenizer = load_tokenizer(shared)
    corpus = Corpus(shared, preset.scenes)
    tower = CLIPVisionModel.from_pretrained(shared / "tower", dtype=torch.float32)
    llm = Qwen2ForCausalLM.from_pretrained(shared / "llm", dtype=torch.float32)
    model = build_variant(variant, tower, llm, tokenizer, seed)
    collate = CollateExamples(tokenizer)
    histories, scores = {}, {}
    for stage, schedule, data in (
        (PRETRAIN, preset.stage_1, Captions),
        (FINETUNE, preset.stage_2, Instructions),
    ):
        examples = data(tokenizer, corpus, schedule.steps * schedule.batch, seed)
        title = f"{variant.name}, {stage.name}"
        home = folder / stage.name.replace(" ", "_")
        model, histories[stage.name] = _train_stage(
            model, stage, examples, collate, schedule, home, title
        )
        vlm = VLM(model.float().eval(), build_processor(tokenizer), title)
        scores[stage.name] = score_model(vlm, scenes=preset.scored_scenes, seed=0)
    record = {
        "variant": variant.name,
        "seed": seed,
        "preset": preset.name,
        "minutes": round(sum(history.minutes for history in histories.values()), 1),
        "losses": {name: history.losses for name, history in histories.items()},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "precision": "bf16" if has_fast_bf16() else "float32",
        "versions": {name: version(name) for name in ("torch", "transformers", "llavit-lens")},
        "scores": scores,
    }
    with write_folder_atomically(folder / "model") as result:
        model.bfloat16().save_pretrained(result)
        build_processor(tokenizer).save_pretrained(result)
        write_card(result, record, variant, preset)
        write_text_atomically(result / "scores.json", json.dumps(record, indent=1))


def _train_stage(
    model: LlavitForConditionalGeneration,
    stage: Stage,
    examples: Dataset,
    collate: CollateExamples,
    schedule: Schedule,
    home: Path,
    title: str,
) -> tuple[LlavitForConditionalGeneration, TrainingHistory]:
    """The model after a stage; read from `home` where the stage is done."""
    if (home / "model").is_dir():
        model = LlavitForConditionalGeneration.from_pretrained(home / "model")
        return model, _history(home)
    model.set_attn_implementation("eager")  # its backward is faster than sdpa's on a CPU
    stage.freeze(model)
    history = run(model, examples, collate, home / "run", schedule, title)
    write_text_atomically(home / "course.json", json.dumps(history._asdict()))
    with write_folder_atomically(home / "model") as part:
        model.save_pretrained(part)
    return model, history


def _history(home: Path) -> TrainingHistory:
    file = home / "course.json"
    if file.is_file():
        return TrainingHistory(**read_json(file))
    return TrainingHistory(read_json(home / "minutes.json"), [])  # begun by an older version


def _check_variant(folder: Path, variant: Row, seed: int, shared: Path, preset: Preset) -> None:
    """Refuse to go on in a folder that another recipe or other shared parts have begun."""
    shares = {"text only": TEXT_ONLY_SHARE, "captions": CAPTION_SHARE}
    parts = {part: sha256(shared / part / "model.safetensors") for part in ("tower", "llm")}
    recipe: dict[str, Any] = {
        "variant": variant.name,
        "seed": seed,
        "stage 1": asdict(preset.stage_1),
        "stage 2": asdict(preset.stage_2),
        "shares of the instructions": shares,
        "questions": QUESTIONS,
        **parts,
    }
    check_recipe(folder, recipe)
