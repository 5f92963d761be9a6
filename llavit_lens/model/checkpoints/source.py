"""A checkpoint of any format as transformers' own LLaVA would hold it: complete and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    LlavaConfig,
    LlavaNextConfig,
    LlavaNextProcessor,
    LlavaProcessor,
    PreTrainedModel,
)

from llavit_lens.errors import CheckpointError, ConfigurationError, LlavitLensError
from llavit_lens.model.checkpoints import key_names, original
from llavit_lens.model.checkpoints.detect import (
    CheckpointFolder,
    Format,
    detect,
    is_original,
    read_config,
)
from llavit_lens.model.checkpoints.find_tower import Tower, find_tower
from llavit_lens.model.checkpoints.hub import local_folder
from llavit_lens.model.checkpoints.image_token import TABLES, grow_table, place_image_token
from llavit_lens.model.checkpoints.processors import (
    read_processor,
    read_tokenizer,
    reason_of,
)
from llavit_lens.model.checkpoints.prompts import chat_template
from llavit_lens.model.checkpoints.sizes import check_sizes
from llavit_lens.model.checkpoints.small_files import generation_file
from llavit_lens.model.checkpoints.weights import LazyTensor, Reader, find_weight_files
from llavit_lens.model.configuration import LlavitConfig
from llavit_lens.model.llava_processors import complete_processor
from llavit_lens.model.processing import LlavitProcessor

_HEAD = "lm_head.weight"

# transformers' LLaVA-NeXT merges tiles in one way only; LLaViT with all switches off knows more.
_CLASSES: dict[str | None, tuple[Any, Any]] = {
    None: (LlavaConfig, LlavaProcessor),
    "spatial_unpad": (LlavaNextConfig, LlavaNextProcessor),
    "spatial": (LlavitConfig, LlavitProcessor),
    "flat": (LlavitConfig, LlavitProcessor),
}
_SWITCHES_OFF = {
    "separate_visual_qkv": False,
    "visual_attention": "causal",
    "image_aspect_ratio": "anyres",
}


@dataclass(frozen=True)
class Source:
    """A checkpoint of any format, ready to be loaded or converted.

    Attributes:
        name: of its folder.
        format: how it is laid out.
        config: LlavaConfig, LlavaNextConfig or LlavitConfig.
        processor: its processor.
        tensors: every weight of the model, under the model's own key names and in its order.
        generation: its generation_config.json, if there is one.
        notes: which of its weights are new, one sentence each.
    """

    name: str
    format: Format
    config: Any
    processor: Any
    tensors: dict[str, LazyTensor]
    generation: Path | None
    notes: tuple[str, ...] = ()


def open_source(
    folder: Path, base: str | Path | None = None, vision_tower: str | Path | None = None
) -> Source:
    """Open a checkpoint; its weights are not read yet, but their names, shapes and types are.

    Args:
        folder: of the checkpoint.
        base: folder or Hub name of the language model, for a projector alone.
        vision_tower: folder or Hub name of the vision tower, instead of the one that an original
            LLaVA checkpoint names.

    Raises:
        CheckpointError: the format is not supported, files are missing or damaged, or the weights
            are not exactly those of the model.
        ConfigurationError: `base` or `vision_tower` for a checkpoint that has its own.
    """
    checkpoint = detect(folder)
    if base is not None and checkpoint.format is not Format.PROJECTOR:
        raise ConfigurationError(f"{folder}: has its own language model; leave out --base")
    if checkpoint.format is Format.HUGGING_FACE:
        if vision_tower is not None:
            raise ConfigurationError(f"{folder}: has its own tower; leave out --vision-tower")
        return _hugging_face(checkpoint)
    original.require_served(str(folder), checkpoint.fields)
    if checkpoint.format is Format.ORIGINAL:
        return _original(checkpoint, vision_tower)
    return _projector(checkpoint, base, vision_tower)


def empty_model(config: Any) -> PreTrainedModel:
    """The model of a configuration without memory for its weights (on the meta device)."""
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


def _hugging_face(checkpoint: CheckpointFolder) -> Source:
    name = str(checkpoint.path)
    weights = key_names.without_buffers(Reader().open(checkpoint.weight_files))
    check_sizes(name, checkpoint.fields, weights)
    with _made_sense_of(name):
        config = AutoConfig.from_pretrained(checkpoint.path, trust_remote_code=False)
        model = empty_model(config)
    processor = read_processor(name, checkpoint.path)
    with _made_sense_of(name):
        complete_processor(processor, config)
    tensors = key_names.fit(name, weights, model, foreign=[])
    config.dtype = _dtype_of(tensors)
    return Source(
        checkpoint.path.name,
        checkpoint.format,
        config,
        processor,
        tensors,
        generation_file(checkpoint.path),
    )


def _original(checkpoint: CheckpointFolder, vision_tower: str | Path | None) -> Source:
    reader = Reader()
    tensors, foreign = key_names.rename_all(
        reader.open(checkpoint.weight_files), key_names.ORIGINAL
    )
    return _assemble(
        checkpoint, checkpoint.path, checkpoint.fields, tensors, foreign, vision_tower, reader
    )


def _projector(
    checkpoint: CheckpointFolder, base: str | Path | None, vision_tower: str | Path | None
) -> Source:
    name = str(checkpoint.path)
    if base is None:
        raise CheckpointError(
            f"{name}: is a projector without its language model; give the folder of that (--base)"
        )
    folder = local_folder(base, f"the language model under {checkpoint.path.name}")
    if is_original(read_config(folder)):
        raise ConfigurationError(f"--base {base}: is a LLaVA; give its plain language model")
    files = find_weight_files(folder)
    if not files:
        raise CheckpointError(f"{folder}: holds no weights of a language model")
    reader = Reader()
    tensors, foreign = key_names.rename_all(
        reader.open(checkpoint.weight_files), key_names.PROJECTOR
    )
    language_model, more = key_names.rename_all(reader.open(files), key_names.BASE_MODEL)
    # Settings of the language model are the base's; the projector's folder has only LLaVA's own.
    # Its `vocab_size` may well be another one.
    llavas = {key: value for key, value in checkpoint.fields.items() if original.is_llavas(key)}
    fields = {**read_config(folder), **llavas}
    fields["model_type"] = original.llava_type(name, read_config(folder).get("model_type"))
    tensors |= language_model
    return _assemble(checkpoint, folder, fields, tensors, foreign + more, vision_tower, reader)


def _assemble(
    checkpoint: CheckpointFolder,
    text_folder: Path,
    fields: dict[str, Any],
    tensors: dict[str, LazyTensor],
    foreign: list[str],
    vision_tower: str | Path | None,
    reader: Reader,
) -> Source:
    """Join language model, projector and tower.

    Args:
        checkpoint: its folder and format.
        text_folder: where the tokenizer of the language model is.
        fields: LLaVA's and the language model's settings.
        tensors: of the checkpoint, as `key_names.fit` takes them.
        foreign: keys of it that are in no layout.
        vision_tower: as in `open_source`.
        reader: of all weights.
    """
    name = str(checkpoint.path)
    own_tower = any(key.startswith("model.vision_tower.") for key in tensors)
    tower = find_tower(fields["mm_vision_tower"], checkpoint.path, vision_tower, own_tower)
    if tower.weight_files:
        more, others = key_names.rename_all(reader.open(tower.weight_files), key_names.TOWER)
        tensors = {**tensors, **more}
        foreign += [key for key in others if not key_names.is_listed(key, key_names.TOWER_EXTRAS)]
    check_sizes(name, fields, tensors)
    config, model = _config(name, fields, tower, _HEAD in tensors, own_tower)
    # Against the table as it is; it grows afterwards.
    tensors = key_names.fit(name, tensors, model, foreign)
    config.dtype = _dtype_of(tensors)

    text = config.get_text_config()
    tokenizer = read_tokenizer(text_folder, text)
    notes: tuple[str, ...] = ()
    if own_tower and vision_tower is not None:
        notes = (
            "The weights of the vision tower are the checkpoint's own; --vision-tower only says "
            "how it is built and how it takes its images.",
        )
    tensors, more_notes = _with_image_token(name, config, tokenizer, tensors)
    processor = _processor(name, fields, config, tower, tokenizer)
    generation = generation_file(text_folder)
    return Source(
        checkpoint.path.name,
        checkpoint.format,
        config,
        processor,
        tensors,
        generation,
        notes + more_notes,
    )


def _processor(name: str, fields: dict[str, Any], config: Any, tower: Tower, tokenizer: Any) -> Any:
    """The processor of a checkpoint in LLaVA's own format."""
    _, processor_class = _CLASSES[original.merge_type(fields)]
    processor = processor_class(
        image_processor=original.image_processor(name, fields, tower),
        tokenizer=tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=tower.class_tokens,
        chat_template=chat_template(name, config.get_text_config().model_type, tokenizer),
    )
    if isinstance(processor, LlavitProcessor):
        processor.mm_patch_merge_type = config.mm_patch_merge_type
    return processor


def _config(
    name: str, fields: dict[str, Any], tower: Tower, has_head: bool, own_tower: bool
) -> tuple[Any, PreTrainedModel]:
    """The config of a checkpoint in LLaVA's own format, and the model of it without weights."""
    text = original.text_config(name, fields, has_head)
    settings = original.feature_settings(name, fields, tower, own_tower)
    merge_type = original.merge_type(fields)
    config_class, _ = _CLASSES[merge_type]
    if merge_type is not None:
        settings["image_grid_pinpoints"] = original.pinpoints(name, fields)
    if config_class is LlavitConfig:
        settings |= _SWITCHES_OFF | {"mm_patch_merge_type": merge_type}
    with _made_sense_of(name):
        config = config_class(
            vision_config=tower.config,
            text_config=text,
            tie_word_embeddings=text.tie_word_embeddings,
            image_seq_length=(tower.config.image_size // tower.config.patch_size) ** 2,
            **settings,
        )
        return config, empty_model(config)


def _with_image_token(
    name: str, config: Any, tokenizer: Any, tensors: dict[str, LazyTensor]
) -> tuple[dict[str, LazyTensor], tuple[str, ...]]:
    """Give config and tokenizer an image token: weights with a row for it, and a note if it is
    new."""
    text = config.get_text_config()
    image_token_id, rows = place_image_token(tokenizer, text.vocab_size, name)
    notes: tuple[str, ...] = ()
    if rows > text.vocab_size:
        notes = (
            f"The image token {image_token_id} has no row in the source; here its row of the word "
            "embeddings, which is never used, and of the unembedding is the mean of all others.",
        )
        tensors = {
            key: grow_table(tensor, rows) if key in TABLES else tensor
            for key, tensor in tensors.items()
        }
    text.vocab_size = rows
    config.image_token_index = image_token_id
    return tensors, notes


def _dtype_of(tensors: Mapping[str, LazyTensor]) -> torch.dtype:
    """The type of the language model: transformers loads all weights in it by default."""
    return next(tensor.dtype for key, tensor in tensors.items() if "embed_tokens" in key)


@contextmanager
def _made_sense_of(name: str) -> Iterator[None]:
    """Turns any error of transformers over a checkpoint's settings into one line."""
    try:
        yield
    except LlavitLensError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{name}: its configuration cannot be loaded ({reason_of(error)}); compare its "
            "config.json with that of the published checkpoint"
        ) from error
