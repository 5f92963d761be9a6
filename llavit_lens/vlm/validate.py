"""The last check before a model is used: do its config and processor fit?"""

from __future__ import annotations

from typing import Any

from llavit_lens.model.self_check import check_release
from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.families.refused import refuse_unreadable


def validate(config: Any, processor: Any, name: str) -> None:
    """Refuse a model and a processor that do not belong together; no weights are needed.

    Args:
        config: of the model.
        processor: what should belong to it.
        name: of the checkpoint, for messages.

    Raises:
        CheckpointError: they do not belong together, or the processor does not work.
        ConfigurationError: a model of its type cannot be read, the config has no exact meaning, or
            LLaViT computes something else with the installed transformers, which is newer than any
            release tested.
    """
    refuse_unreadable(config, name)
    family_of(config).validate(config, processor, name)
    check_release(config.get_text_config().model_type)
