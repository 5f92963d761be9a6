"""Train a demo model: the world, the tower and language model, then the paper's two stages.

Tower and language model, the costly part, come with the package; `anew` pretrains them too.

    OUT/shared/            pictures, tokenizer, tower, llm: once, used by every variant and seed
    OUT/<variant>-seed<N>/ stage_1/, stage_2/ (runs), model/ (the result, a Hugging Face folder)

Every step leaves its result on disk and is skipped when that is there; a run continues from its
last checkpoint. Nothing is trained twice, and an interruption costs at most a tenth of one run.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from transformers import AutoTokenizer, CLIPVisionModel, Qwen2ForCausalLM
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
from llavit_lens.miniature.recipe.pretrain_llm import TEXT_RECIPE, pretrain_llm
from llavit_lens.miniature.recipe.pretrain_tower import pretrain_tower
from llavit_lens.miniature.recipe.variants import build_processor, build_variant, variant_named
from llavit_lens.miniature.recipe.vocabulary import build_tokenizer
from llavit_lens.miniature.world.corpus import Corpus
from llavit_lens.miniature.world.fingerprint import world_fingerprint
from llavit_lens.miniature.world.render import emoji_font_path
from llavit_lens.model import LlavitForConditionalGeneration
from llavit_lens.model.checkpoints.processors import forget_origin
from llavit_lens.training.run import Course, has_fast_bf16, run
from llavit_lens.training.run_folder import check_recipe, sha256
from llavit_lens.training.stages import FINETUNE, PRETRAIN
from llavit_lens.vlm.vlm import VLM

# glibc gives large blocks back to the system after every step and takes fresh pages for the next;
# keeping them makes a training step on a CPU several times faster on some machines.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**34),
    "MALLOC_TOP_PAD_": str(2**30),
    "MALLOC_ARENA_MAX": "1",
}


SHIPPED = Path(str(files("llavit_lens"))) / "assets" / "shared"
PARTS = ("tokenizer", "tower", "llm")


def train_demo(
    variant: str,
    seed: int,
    out: Path,
    preset: str = "cpu",
    shared: Path | None = None,
    anew: bool = False,
) -> Path:
    """Train one variant; returns the folder of the finished model.

    variant: a name in `rows.ROWS`. seed: of the projector's start and of the order of the data.
    shared: where the shared part is or goes, `out/shared` by default.
    anew: pretrain tower and language model even where those that ship would do.

    Raises ConfigurationError for an unknown variant or preset, a folder that another recipe has
    begun, and without the emoji font or accelerate.
    """
    variant_named(variant)
    preset_named(preset)
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
    prepare_shared(shared, preset, anew)
    model = folder / "model"
    _check_variant(folder, variant, seed, shared, preset)
    if not model.is_dir():
        _in_processes([(train_variant, (variant, seed, folder, shared, preset))])
    return model


def prepare_shared(shared: Path, preset: str, anew: bool = False) -> None:
    """Draw the scenes, and take or pretrain tower and language model, if not there yet."""
    p = preset_named(preset)
    recipe = shared_recipe(p)
    check_recipe(shared, {**recipe, "pretrained anew": anew})
    if not anew and is_shipped(recipe):
        for part in PARTS:
            if not (shared / part).is_dir():
                with write_folder_atomically(shared / part) as folder:
                    shutil.copytree(SHIPPED / part, folder, dirs_exist_ok=True)
    if not (shared / "tokenizer").is_dir():
        with write_folder_atomically(shared / "tokenizer") as folder:
            build_tokenizer().save_pretrained(folder)
    Corpus(shared, p.scenes)
    jobs: list[tuple[Callable, tuple]] = []
    if not (shared / "tower" / "model.safetensors").is_file():
        jobs.append((_tower, (shared, preset)))
    if not (shared / "llm" / "model.safetensors").is_file():
        jobs.append((_llm, (shared, preset)))
    _in_processes(jobs)


def shared_recipe(preset: Preset) -> dict[str, Any]:
    """What tower and language model are functions of."""
    made_by = ("scenes", "width", "layers", "tower", "llm")
    recipe = {name: asdict(preset)[name] for name in made_by}
    return {**recipe, "text": TEXT_RECIPE, "world": world_fingerprint()}


def is_shipped(recipe: dict[str, Any]) -> bool:
    """Whether the parts that come with the package were made by this recipe."""
    file = SHIPPED / "recipe.json"
    return file.is_file() and read_json(file) == json.loads(json.dumps(recipe))


def train_variant(variant: str, seed: int, folder: Path, shared: Path, preset: str) -> None:
    """Both stages of one variant on the shared parts; writes `folder/model`."""
    p = preset_named(preset)
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizer")
    forget_origin(tokenizer)
    corpus = Corpus(shared, p.scenes)
    tower = CLIPVisionModel.from_pretrained(shared / "tower", dtype=torch.float32)
    llm = Qwen2ForCausalLM.from_pretrained(shared / "llm", dtype=torch.float32)
    model = build_variant(variant_named(variant), tower, llm, tokenizer, seed)
    courses, scores = {}, {}
    for stage, schedule, data in (
        (PRETRAIN, p.stage_1, Captions),
        (FINETUNE, p.stage_2, Instructions),
    ):
        examples = data(tokenizer, corpus, schedule.steps * schedule.batch, seed)
        home = folder / stage.name.replace(" ", "_")
        if not (home / "model").is_dir():
            model.set_attn_implementation("eager")  # its backward is faster than sdpa's on a CPU
            stage.freeze(model)
            collate, title = CollateExamples(tokenizer), f"{variant}, {stage.name}"
            course = run(model, examples, collate, home / "run", schedule, title)
            write_text_atomically(home / "course.json", json.dumps(course._asdict()))
            with write_folder_atomically(home / "model") as part:
                model.save_pretrained(part)
        else:
            model = LlavitForConditionalGeneration.from_pretrained(home / "model")
        courses[stage.name] = _course(home)
        vlm = VLM(model.float().eval(), build_processor(tokenizer), f"{variant}, {stage.name}")
        scores[stage.name] = score_model(vlm, scenes=100 if preset != "smoke" else 3, seed=0)
    record = {
        "variant": variant,
        "seed": seed,
        "preset": preset,
        "minutes": round(sum(course.minutes for course in courses.values()), 1),
        "losses": {name: course.losses for name, course in courses.items()},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "precision": "bf16" if has_fast_bf16() else "float32",
        "versions": {name: version(name) for name in ("torch", "transformers", "llavit-lens")},
        "scores": scores,
    }
    with write_folder_atomically(folder / "model") as result:
        model.bfloat16().save_pretrained(result)
        build_processor(tokenizer).save_pretrained(result)
        write_card(result, record, p)
        write_text_atomically(result / "scores.json", json.dumps(record, indent=1))


def _course(home: Path) -> Course:
    file = home / "course.json"
    if file.is_file():
        return Course(**read_json(file))
    return Course(read_json(home / "minutes.json"), [])  # begun by an older version


def _check_variant(folder: Path, variant: str, seed: int, shared: Path, preset: str) -> None:
    """Refuse to go on in a folder that another recipe or other shared parts have begun."""
    p = asdict(preset_named(preset))
    shares = {"text only": TEXT_ONLY_SHARE, "captions": CAPTION_SHARE}
    parts = {part: sha256(shared / part / "model.safetensors") for part in ("tower", "llm")}
    check_recipe(
        folder,
        {
            "variant": variant,
            "seed": seed,
            "stage 1": p["stage_1"],
            "stage 2": p["stage_2"],
            "shares of the instructions": shares,
            "questions": QUESTIONS,
            **parts,
        },
    )


def _tower(shared: Path, preset: str) -> None:
    p: Preset = preset_named(preset)
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizer")
    forget_origin(tokenizer)
    pretrain_tower(
        shared / "tower", Corpus(shared, p.scenes), tokenizer, p.tower, p.width, p.layers
    )


def _llm(shared: Path, preset: str) -> None:
    p: Preset = preset_named(preset)
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizer")
    forget_origin(tokenizer)
    pretrain_llm(shared / "llm", Corpus(shared, p.scenes), tokenizer, p.llm, p.width, p.layers)


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
        initializer=_begin,
        initargs=(threads,),
    ) as pool:
        try:
            for future in [pool.submit(job, *arguments) for job, arguments in jobs]:
                future.result()
        except BrokenProcessPool as error:
            raise ConfigurationError(
                "a training process was ended from outside, perhaps for lack of memory; "
                "run the same command again to go on"
            ) from error


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A command that is killed must not leave a training behind that nobody sees."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
