"""What all variants share: scenes, tokenizer, vision tower and language model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from llavit_lens.disk import read_json, write_folder_atomically
from llavit_lens.miniature.recipe.documents import TEXT_RECIPE
from llavit_lens.miniature.recipe.presets import Preset
from llavit_lens.miniature.recipe.pretrain_llm import pretrain_llm
from llavit_lens.miniature.recipe.pretrain_tower import pretrain_tower
from llavit_lens.miniature.recipe.processes import in_processes
from llavit_lens.miniature.recipe.vocabulary import build_tokenizer
from llavit_lens.miniature.world.corpus import Corpus
from llavit_lens.miniature.world.fingerprint import world_fingerprint
from llavit_lens.model.checkpoints.processors import forget_origin
from llavit_lens.training.run_folder import check_recipe

SHIPPED = Path(str(files("llavit_lens"))) / "assets" / "shared"
PARTS = ("tokenizer", "tower", "llm")


def prepare_shared(shared: Path, preset: Preset, anew: bool = False) -> None:
    """Draw the scenes, and take or pretrain tower and language model, where they are missing."""
    recipe = shared_recipe(preset)
    check_recipe(shared, {**recipe, "pretrained anew": anew})
    if not anew and is_shipped(recipe):
        for part in PARTS:
            if not (shared / part).is_dir():
                with write_folder_atomically(shared / part) as folder:
                    shutil.copytree(SHIPPED / part, folder, dirs_exist_ok=True)
    if not (shared / "tokenizer").is_dir():
        with write_folder_atomically(shared / "tokenizer") as folder:
            build_tokenizer().save_pretrained(folder)
    Corpus(shared, preset.scenes)
    jobs: list[tuple[Callable, tuple]] = [
        (job, (shared, preset))
        for job, part in ((train_tower, "tower"), (train_llm, "llm"))
        if not (shared / part / "model.safetensors").is_file()
    ]
    in_processes(jobs)


def shared_recipe(preset: Preset) -> dict[str, Any]:
    """What tower and language model are functions of."""
    made_by = ("scenes", "width", "layers", "tower", "llm")
    recipe = {name: asdict(preset)[name] for name in made_by}
    return {**recipe, "text": TEXT_RECIPE, "world": world_fingerprint()}


def is_shipped(recipe: dict[str, Any]) -> bool:
    """Whether the parts that come with the package were made by this recipe."""
    file = SHIPPED / "recipe.json"
    return file.is_file() and read_json(file) == json.loads(json.dumps(recipe))


def load_tokenizer(shared: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of the shared part; what it is saved with does not name the folder."""
    tokenizer = AutoTokenizer.from_pretrained(shared / "tokenizer")
    forget_origin(tokenizer)
    return tokenizer


def train_tower(shared: Path, preset: Preset) -> None:
    corpus, tokenizer = Corpus(shared, preset.scenes), load_tokenizer(shared)
    pretrain_tower(shared / "tower", corpus, tokenizer, preset.tower, preset.width, preset.layers)


def train_llm(shared: Path, preset: Preset) -> None:
    corpus, tokenizer = Corpus(shared, preset.scenes), load_tokenizer(shared)
    pretrain_llm(shared / "llm", corpus, tokenizer, preset.llm, preset.width, preset.layers)
