"""The language model that a VLM was trained from, to be compared with it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.model.checkpoints import key_names
from llavit_lens.model.checkpoints.detect import is_llava, read_config
from llavit_lens.model.checkpoints.hub import local_folder
from llavit_lens.model.checkpoints.sizes import check_sizes
from llavit_lens.model.checkpoints.small_files import check_small_files
from llavit_lens.model.checkpoints.weights import LazyTensor, Reader, find_weight_files

_TEXT_QKV = re.compile(r"model\.language_model\.layers\.\d+\.self_attn\.[qkv]+_proj\.(weight|bias)")


def base_folder(base: str | Path) -> Path:
    """The local folder of a plain language model.

    Raises:
        CheckpointError, ConfigurationError: there is none, or it is a LLaVA.
    """
    folder = local_folder(base, "the base LLM")
    read_config(folder)
    if is_llava(folder):
        raise ConfigurationError(f"--base {base}: is a LLaVA; give its plain language model")
    files = find_weight_files(folder)
    if not files:
        raise CheckpointError(f"{base}: holds no weights of a language model")
    check_sizes(str(base), read_config(folder), tuple(Reader().open(files)))
    check_small_files(folder)
    return folder


def read_base_model(
    base: str | Path, text_config: Any, tensors: Mapping[str, LazyTensor]
) -> dict[str, LazyTensor]:
    """Its weights, under the names that a LLaVA-like model has for them.

    Args:
        base: folder or Hub name.
        text_config: of the VLM's decoder.
        tensors: of the VLM; the text projections of both must have the same shapes.

    Raises:
        CheckpointError, ConfigurationError: as `base_folder`; or it is of another family or size.
    """
    folder = base_folder(base)
    family = read_config(folder).get("model_type")
    if family != text_config.model_type:
        raise ConfigurationError(
            f"--base {base}: is a {family} model, but the decoder is a {text_config.model_type}"
        )
    weights, _ = key_names.rename_all(
        Reader().open(find_weight_files(folder)), key_names.BASE_MODEL
    )
    for key, tensor in tensors.items():
        if not _TEXT_QKV.fullmatch(key):
            continue
        shape = weights[key].shape if key in weights else None
        if shape != tensor.shape:
            has = "lacks it" if shape is None else f"has {list(shape)}"
            raise ConfigurationError(
                f"--base {base}: does not fit, the model's {key} is {list(tensor.shape)} and the "
                f"base {has}; give the language model that it was trained from"
            )
    return weights
