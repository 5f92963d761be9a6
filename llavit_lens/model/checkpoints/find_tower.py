"""The vision tower that an original LLaVA checkpoint names: configuration, pixels, weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    PreTrainedConfig,
)

from llavit_lens.disk import is_web_address, user_path
from llavit_lens.errors import CheckpointError, ConfigurationError, one_line
from llavit_lens.model.checkpoints.detect import read_config
from llavit_lens.model.checkpoints.hub import local_folder
from llavit_lens.model.checkpoints.sizes import check_sizes
from llavit_lens.model.checkpoints.small_files import check_small_files
from llavit_lens.model.checkpoints.weights import Reader, find_weight_files
from llavit_lens.model.compat import AutoImageProcessor
from llavit_lens.model.tower_rules import CLASS_TOKENS

_KNOWN = {"openai/clip-vit-large-patch14-336": 336, "openai/clip-vit-large-patch14": 224}
"""The towers of LLaVA-1.5 and earlier, by image size: where a checkpoint holds their weights,
nothing else is needed to use them."""

_VISION_TYPES = ("clip_vision_model", "siglip_vision_model")


@dataclass(frozen=True)
class Tower:
    """A vision tower outside of the checkpoint that uses it.

    Attributes:
        config: of the vision model alone.
        image_processor: prepares its images.
        weight_files: empty if only its configuration is known.
    """

    config: PreTrainedConfig
    image_processor: Any
    weight_files: tuple[Path, ...]

    @property
    def class_tokens(self) -> int:
        """Tokens before the patches: CLIP has one, SigLIP none."""
        return CLASS_TOKENS[self.config.model_type]


def find_tower(
    name: str, checkpoint: Path, replacement: str | Path | None, has_weights: bool
) -> Tower:
    """The tower that a checkpoint names, or `replacement` in its place.

    Args:
        name: `mm_vision_tower` of the checkpoint: a folder, in it or elsewhere, or a Hub name.
        checkpoint: its folder.
        replacement: a folder or Hub name to take instead.
        has_weights: whether the checkpoint holds the tower's weights itself.

    Raises:
        CheckpointError: it cannot be found, is damaged, or is neither CLIP nor SigLIP.
        ConfigurationError: `replacement` where nothing is missing: own weights of a known tower.
    """
    if replacement is not None and has_weights and name in _KNOWN:
        raise ConfigurationError(
            f"{checkpoint}: holds its own vision tower; leave out --vision-tower"
        )
    if replacement is None and not is_web_address(name):
        folder_in_it = user_path(checkpoint / name, what="mm_vision_tower", error=CheckpointError)
        replacement = folder_in_it if folder_in_it.is_dir() else None
    if replacement is None and has_weights and name in _KNOWN:
        return _clip_large(_KNOWN[name])
    folder = local_folder(
        replacement if replacement is not None else name,
        f"the vision tower of {checkpoint.name}; give its folder (--vision-tower)",
    )
    files = () if has_weights else tuple(find_weight_files(folder))
    if not files and not has_weights:
        raise CheckpointError(f"{folder}: holds no weights of a vision tower")
    check_sizes(str(folder), read_config(folder), tuple(Reader().open(files)))
    check_small_files(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        pixels = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # transformers may raise anything
        raise CheckpointError(f"{folder}: is no vision tower ({one_line(error)})") from error
    config = getattr(config, "vision_config", config)
    if config.model_type not in _VISION_TYPES:
        raise CheckpointError(
            f"{folder}: a {config.model_type} model is no vision tower that LLaVA is built on "
            "(CLIP or SigLIP)"
        )
    if has_weights and config.model_type == "siglip_vision_model":
        # LLaVA-NeXT's code drops SigLIP's last layer and its pooling head, and saves what is left
        config.num_hidden_layers -= 1
        config.vision_use_head = False
    return Tower(config, pixels, files)


def _clip_large(side: int) -> Tower:
    """CLIP ViT-L/14 as in its public configuration."""
    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=side,
        patch_size=14,
        projection_dim=768,
    )
    pixels = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )
    return Tower(config, pixels, ())
