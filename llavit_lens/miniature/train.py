"""Train a demo model from nothing: world, tower, language model, then the paper's two stages.

    OUT/shared/            pictures, tokenizer, tower, llm: once, used by every variant and seed
    OUT/<variant>-seed<N>/ stage_1/, stage_2/ (runs), model/ (the result, a Hugging Face folder)

Every step leaves its result on disk and is skipped when that is there; a run continues from its
last checkpoint. Nothing is trained twice, and an interruption costs at most a tenth of one run.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, CLIPVisionModel, Qwen2ForCausalLM

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.card import write_card
from llavit_lens.miniature.corpus import Corpus
from llavit_lens.miniature.instructions import Captions, CollateExamples, Instructions
from llavit_lens.miniature.presets import Preset, preset_named
from llavit_lens.miniature.pretrain_llm import pretrain_llm
from llavit_lens.miniature.pretrain_tower import pretrain_tower
from llavit_lens.miniature.render import emoji_font_path
from llavit_lens.miniature.runs import Schedule, run
from llavit_lens.miniature.score import score_model
from llavit_lens.miniature.variants import build_processor, build_variant, variant_named
from llavit_lens.miniature.vocabulary import build_tokenizer
from llavit_lens.model import LlavitForConditionalGeneration
from llavit_lens.training.stages import FINETUNE, PRETRAIN, Stage
from llavit_lens.vlm.load import load

# glibc gives large blocks back to the system after every step and takes fresh pages for the next;
# keeping them makes a training step on a CPU several times faster on some machines.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**30),
    "MALLOC_ARENA_MAX": "1",
}


def train_demo(
    variant: str, seed: int, out: Path, preset: str = "cpu", shared: Path | None = None
) -> Path:
    """Train one variant; returns the folder of the finished model.

    variant: a name in `VARIANTS`. seed: of the projector's start and of the order of the data.
    shared: where the shared part is or goes, `out/shared` by default.

    Raises ConfigurationError for an unknown variant or preset, or without the emoji font.
    """
    variant_named(variant)
    preset_named(preset)
    emoji_font_path()
    shared = shared or out / "shared"
    prepare_shared(shared, preset)
    folder = out / f"{variant}-seed{seed}"
    model = folder / "model"
    if not (model / "scores.json").is_file():
        _in_processes([(train_variant, (variant, seed, folder, shared, preset))])
    return model


def prepare_shared(shared: Path, preset: str) -> None:
    """Draw the scenes, and pretrain tower and language model side by side, if not there yet."""
    p = preset_named(preset)
    shared.mkdir(parents=True, exist_ok=True)
    _check_same(shared / "recipe.json", p)
    if not (shared / "tokenizer" / "tokenizer.json").is_file():
        build_tokenizer().save_pretrained(shared / "tokenizer")
    Corpus(shared, p.scenes)
    jobs: list[tuple[Callable, tuple]] = [(_tower, (shared, preset)), (_llm, (shared, preset))]
    missing = [
        job
        for job, part in zip(jobs, ("tower", "llm"), strict=True)
        if not (shared / part / "config.json").is_file()
    ]
    _in_processes(missing)


def train_variant(variant: str, seed: int, folder: Path, shared: Path, preset: str) -> None:
    """Both stages of one variant on the shared parts; writes `folder/model`."""
    p = preset_named(preset)
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizer")
    corpus = Corpus(shared, p.scenes)
    tower = CLIPVisionModel.from_pretrained(shared / "tower")
    llm = Qwen2ForCausalLM.from_pretrained(shared / "llm")
    model = build_variant(variant_named(variant), tower, llm, tokenizer, seed)
    started = time.time()
    for stage, schedule, data in (
        (PRETRAIN, p.stage_1, Captions),
        (FINETUNE, p.stage_2, Instructions),
    ):
        examples = data(tokenizer, corpus, schedule.steps * schedule.batch, seed)
        model = _stage(
            model, stage, schedule, examples, CollateExamples(tokenizer), folder, variant
        )
    result = folder / "model"
    model.bfloat16().save_pretrained(result)
    build_processor(tokenizer).save_pretrained(result)
    scores = score_model(load(str(result)), scenes=100 if preset != "smoke" else 2, seed=0)
    record = {
        "variant": variant,
        "seed": seed,
        "preset": preset,
        "minutes": round((time.time() - started) / 60, 1),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("torch", "transformers", "llavit-lens")},
    }
    write_card(result, record, p, scores)
    (result / "scores.json").write_text(json.dumps({**record, **scores}, indent=1))


def _stage(
    model: LlavitForConditionalGeneration,
    stage: Stage,
    schedule: Schedule,
    examples: Any,
    collate: Any,
    folder: Path,
    variant: str,
) -> LlavitForConditionalGeneration:
    home = folder / stage.name.replace(" ", "_")
    done = home / "model"
    if not (done / "config.json").is_file():
        model.set_attn_implementation("eager")  # its backward is twice as fast as sdpa's on a CPU
        stage.freeze(model)
        run(model, examples, collate, home / "run", schedule, name=f"{variant}, {stage.name}")
        model.save_pretrained(done)
        return model
    return LlavitForConditionalGeneration.from_pretrained(done)


def _tower(shared: Path, preset: str) -> None:
    p: Preset = preset_named(preset)
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizer")
    pretrain_tower(
        shared / "tower", Corpus(shared, p.scenes), tokenizer, p.tower, p.width, p.layers
    )


def _llm(shared: Path, preset: str) -> None:
    p: Preset = preset_named(preset)
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizer")
    pretrain_llm(shared / "llm", tokenizer, p.scenes, p.llm, p.width, p.layers)


def _in_processes(jobs: list[tuple[Callable, tuple]]) -> None:
    """Run jobs side by side, each in a fresh process with its share of the cores."""
    if not jobs:
        return
    for name, value in ALLOCATOR.items():
        os.environ.setdefault(name, value)
    cores = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    threads = max(1, cores // len(jobs))
    with ProcessPoolExecutor(
        len(jobs),
        mp_context=get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(threads,),
    ) as pool:
        for future in [pool.submit(job, *arguments) for job, arguments in jobs]:
            future.result()


def _check_same(path: Path, preset: Preset) -> None:
    """Refuse to mix shared parts that were made by different recipes in one folder."""
    shared = ("scenes", "width", "layers", "tower", "llm")
    recipe = json.dumps({name: asdict(preset)[name] for name in shared}, indent=1)
    if path.is_file() and path.read_text() != recipe:
        raise ConfigurationError(
            f"{path.parent} was made with another recipe or preset; choose another folder"
        )
    path.write_text(recipe)
