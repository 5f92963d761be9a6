"""The model card of a converted checkpoint: where it comes from, and what in it is not trained."""

from __future__ import annotations

from llavit_lens.model.checkpoints.source import Source
from llavit_lens.model.checkpoints.target import PLAIN, Target

_CARD = """\
---
library_name: transformers
pipeline_tag: image-text-to-text
tags: [{tags}]
---
# {title}

Converted by llavit-lens {version} from `{source}` ({format} format). The weights are those of the
source, bit for bit, except for what is named below; its license holds here too.

{switches}{notes}"""


def model_card(source: Source, target: Target, to: str, version: str) -> str:
    """The text of README.md."""
    config = target.config
    if to == PLAIN:
        title, tags = f"{source.name} for transformers", "llava"
        switches = f"vision_feature_layer: {config.vision_feature_layer}\n"
    else:
        title, tags = f"{source.name} as {to}", "llavit, llava"
        switches = "".join(
            f"- {switch}: {getattr(config, switch)}\n"
            for switch in ("separate_visual_qkv", "visual_attention", "vision_feature_layer")
        )
    notes = "\n".join(f"- {note}" for note in target.notes) or "Nothing is new in it."
    return _CARD.format(
        tags=tags,
        title=title,
        version=version,
        source=source.name,
        format=source.format,
        switches=switches,
        notes=f"\n## What is new or not trained\n{notes}\n",
    )
