"""The language model that a VLM was trained from, with the VLM's chat format."""

from __future__ import annotations

from typing import Any

from transformers import AutoModelForCausalLM, AutoTokenizer

from llavit_lens.disk import has_file
from llavit_lens.errors import CheckpointError, ConfigurationError, one_line
from llavit_lens.model.checkpoints.base_model import base_folder
from llavit_lens.model.quiet import quiet_transformers
from llavit_lens.studies.text_only.text_model import TextModel

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def load_base(base: str, like: TextModel) -> TextModel:
    """Load it in the dtype and on the device of `like`.

    The tokenizer is that of `like` too, unless the model has a tokenizer with other tokens.

    Raises:
        CheckpointError, ConfigurationError: it cannot be read whole, is a VLM, or has no tokenizer
            and another vocabulary.
    """
    folder = base_folder(base)
    try:
        with quiet_transformers():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=like.model.dtype, trust_remote_code=False, output_loading_info=True
            )
            has_tokenizer = any(has_file(folder / name) for name in _TOKENIZER_FILES)
            tokenizer = AutoTokenizer.from_pretrained(folder) if has_tokenizer else like.tokenizer
    except Exception as error:  # whatever transformers may raise
        raise CheckpointError(f"--base {base}: cannot be loaded ({one_line(error)})") from error
    model, report = loaded
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise CheckpointError(
            f"--base {base}: lacks {len(missing)} weights, such as {missing[0]}; fetch it again"
        )
    size, expected = model.config.vocab_size, like.model.config.get_text_config().vocab_size
    if not has_tokenizer and size != expected:
        raise ConfigurationError(
            f"--base {base}: has no tokenizer, and its vocabulary of {size} is not the model's of "
            f"{expected}; put its tokenizer into the folder"
        )
    if tokenizer.get_vocab().items() <= like.tokenizer.get_vocab().items():
        # the same tokens, and read as the VLM reads them: AutoTokenizer goes by the model's type
        tokenizer = like.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return TextModel(base, model.to(like.model.device).eval(), tokenizer, like.prompt)
