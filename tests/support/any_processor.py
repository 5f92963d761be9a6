"""transformers' real processors at small sizes, on a tokenizer made in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import transformers
from any_model import VOCABULARY
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llavit_lens.model.image_only import image_only, processor_class

_FIRST = 10
"""The first id of a placeholder; ids before it belong to the text."""

_TEXTS = ["USER: What is in the image? ASSISTANT: a red square on the left of a blue circle."] * 8
_OPTIONAL = ("video_processor", "feature_extractor", "audio_processor")


def any_tokenizer(
    tokens: Mapping[int, str], attributes: Mapping[str, str], more: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of at most 400 tokens that pads on the left.

    Args:
        tokens: special tokens by id, from 10 on; ids between them get fillers.
        attributes: names that a processor asks the tokenizer for, such as `image_token`.
        more: further special tokens.
    """
    text = ["<pad>", "<s>", "</s>", "<unk>"]
    last = max(tokens, default=_FIRST - 1)
    text += [tokens.get(index, f"<f{index}>") for index in range(len(text), last + 1)]
    special = list(dict.fromkeys([*text, *attributes.values(), *more]))
    base = Tokenizer(models.BPE(unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    base.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 10,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    base.train_from_iterator(_TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=base,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=dict(attributes),
        padding_side="left",
    )
    assert len(tokenizer) <= VOCABULARY
    return tokenizer


def part(place: str, **arguments: Any) -> Any:
    """An image processor or a processor by its place in `transformers.models`, such as
    `clip.image_processing_pil_clip.CLIPImageProcessorPil`.

    Skips the test where the installed transformers has none, or one that needs torchvision.
    """
    module, _, name = place.rpartition(".")
    if ".processing_" in place:
        found = processor_class(name)
    else:
        found = getattr(_module(f"transformers.models.{module}"), name, None)
    if found is None:
        pytest.skip(f"the installed transformers has no {name}")
    return (for_images(found) if ".processing_" in place else found)(**arguments)


def require_loadable(processor: Any) -> None:
    """Skip the test where the installed transformers does not load such an image processor from a
    folder without torchvision."""
    kept = type(processor.image_processor).__name__
    if getattr(getattr(transformers, kept, None), "is_dummy", False):
        pytest.skip(f"the installed transformers does not load a {kept} without torchvision")


def calling(processor: Any, **options: Any) -> Any:
    """The processor, with these options in every call: some settings are taken there only."""
    base = type(processor)

    def call(self: Any, *arguments: Any, **given: Any) -> Any:
        return base.__call__(self, *arguments, **{**options, **given})

    processor.__class__ = type(base.__name__, (base,), {"__call__": call})
    return processor


def with_image_settings(processor: Any, **settings: Any) -> Any:
    """The processor, with these settings for its image processor in every call.

    Skips the test where the installed transformers takes them as arguments of a call only.
    """
    if not hasattr(processor, "images_kwargs"):
        pytest.skip(f"{type(processor).__name__} has no settings of its own for images")
    processor.images_kwargs = {**processor.images_kwargs, **settings}
    return processor


@cache
def for_images(own_class: Any) -> Any:
    """The processor class for images alone, which takes anything as the parts for videos."""
    base: Any = image_only(own_class)

    def check(self: Any, name: str, argument: Any) -> Any:
        return (
            None
            if name in _OPTIONAL
            else base.check_argument_for_proper_class(self, name, argument)
        )

    namespace = {"check_argument_for_proper_class": check, "__module__": own_class.__module__}
    return type(own_class.__name__, (base,), namespace)


def _module(name: str) -> ModuleType:
    """A module of transformers; skips the test where it cannot be imported."""
    try:
        return import_module(name)
    except ImportError as error:
        pytest.skip(str(error).strip().splitlines()[0])
