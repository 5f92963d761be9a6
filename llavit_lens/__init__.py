"""Read, in words, what a vision-language model makes of every patch of an image, at every layer.

    import llavit_lens as ll
    vlm = ll.load("demo:llavit")
    words = ll.logit_lens(vlm.trace(ll.example("kite-moon")), k=3)

The names below are imported on first use, so that `import llavit_lens` itself costs nothing.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

import llavit_lens.quiet_tqdm  # noqa: F401  # before anything imports transformers
from llavit_lens.version import __version__

if TYPE_CHECKING:
    from llavit_lens.corpus.report import ScanReport
    from llavit_lens.corpus.scan import scan
    from llavit_lens.corpus.word_index import WordIndex
    from llavit_lens.errors import CheckpointError, ConfigurationError, ImageError, LlavitLensError
    from llavit_lens.evaluation.labelled.coco import coco_images
    from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, LabelledObject
    from llavit_lens.evaluation.readability.readability import readability
    from llavit_lens.images.layout import VisualLayout
    from llavit_lens.images.regions import Box, Mask
    from llavit_lens.interop.bridge import to_transformer_lens
    from llavit_lens.interventions.ablation import ablate_visual_attention
    from llavit_lens.interventions.attention_check import check_visual_attention
    from llavit_lens.interventions.knockout import knock_out, visual_attention
    from llavit_lens.interventions.patching import patch
    from llavit_lens.interventions.restore import restore_map
    from llavit_lens.interventions.text_projections import text_projections
    from llavit_lens.lens.attention import attention_patterns
    from llavit_lens.lens.input_similarity import input_similarity
    from llavit_lens.lens.logit_lens import logit_lens
    from llavit_lens.miniature.example import example, examples
    from llavit_lens.results.attention_patterns import AttentionPatterns
    from llavit_lens.results.comparison import Comparison, compare
    from llavit_lens.results.hits import Hits
    from llavit_lens.results.layout_check import LayoutCheck
    from llavit_lens.results.readability import Readability
    from llavit_lens.results.restore_map import RestoreMap
    from llavit_lens.results.token_words import TokenWords
    from llavit_lens.results.words import Words
    from llavit_lens.viewer.show import show
    from llavit_lens.viewer.viewer import Viewer
    from llavit_lens.vlm.answers import answer_log_prob
    from llavit_lens.vlm.layout_check import check_layout
    from llavit_lens.vlm.load import load
    from llavit_lens.vlm.register import register_family
    from llavit_lens.vlm.token_trace import TokenTrace, TracedAnswer
    from llavit_lens.vlm.trace import Trace
    from llavit_lens.vlm.vlm import VLM

_HOME = {
    "AttentionPatterns": "llavit_lens.results.attention_patterns",
    "Box": "llavit_lens.images.regions",
    "CheckpointError": "llavit_lens.errors",
    "Comparison": "llavit_lens.results.comparison",
    "ConfigurationError": "llavit_lens.errors",
    "Hits": "llavit_lens.results.hits",
    "ImageError": "llavit_lens.errors",
    "LlavitLensError": "llavit_lens.errors",
    "LayoutCheck": "llavit_lens.results.layout_check",
    "LabelledObject": "llavit_lens.evaluation.labelled.labelled_images",
    "LabelledImage": "llavit_lens.evaluation.labelled.labelled_images",
    "Mask": "llavit_lens.images.regions",
    "Readability": "llavit_lens.results.readability",
    "RestoreMap": "llavit_lens.results.restore_map",
    "ScanReport": "llavit_lens.corpus.report",
    "TokenTrace": "llavit_lens.vlm.token_trace",
    "TokenWords": "llavit_lens.results.token_words",
    "Trace": "llavit_lens.vlm.trace",
    "TracedAnswer": "llavit_lens.vlm.token_trace",
    "VLM": "llavit_lens.vlm.vlm",
    "Viewer": "llavit_lens.viewer.viewer",
    "VisualLayout": "llavit_lens.images.layout",
    "WordIndex": "llavit_lens.corpus.word_index",
    "Words": "llavit_lens.results.words",
    "ablate_visual_attention": "llavit_lens.interventions.ablation",
    "answer_log_prob": "llavit_lens.vlm.answers",
    "attention_patterns": "llavit_lens.lens.attention",
    "check_layout": "llavit_lens.vlm.layout_check",
    "check_visual_attention": "llavit_lens.interventions.attention_check",
    "coco_images": "llavit_lens.evaluation.labelled.coco",
    "compare": "llavit_lens.results.comparison",
    "example": "llavit_lens.miniature.example",
    "examples": "llavit_lens.miniature.example",
    "input_similarity": "llavit_lens.lens.input_similarity",
    "knock_out": "llavit_lens.interventions.knockout",
    "load": "llavit_lens.vlm.load",
    "logit_lens": "llavit_lens.lens.logit_lens",
    "patch": "llavit_lens.interventions.patching",
    "readability": "llavit_lens.evaluation.readability.readability",
    "register_family": "llavit_lens.vlm.register",
    "restore_map": "llavit_lens.interventions.restore",
    "scan": "llavit_lens.corpus.scan",
    "show": "llavit_lens.viewer.show",
    "text_projections": "llavit_lens.interventions.text_projections",
    "to_transformer_lens": "llavit_lens.interop.bridge",
    "visual_attention": "llavit_lens.interventions.knockout",
}

__all__ = [
    "VLM",
    "AttentionPatterns",
    "Box",
    "CheckpointError",
    "Comparison",
    "ConfigurationError",
    "Hits",
    "ImageError",
    "LabelledImage",
    "LabelledObject",
    "LayoutCheck",
    "LlavitLensError",
    "Mask",
    "Readability",
    "RestoreMap",
    "ScanReport",
    "TokenTrace",
    "TokenWords",
    "Trace",
    "TracedAnswer",
    "Viewer",
    "VisualLayout",
    "WordIndex",
    "Words",
    "__version__",
    "ablate_visual_attention",
    "answer_log_prob",
    "attention_patterns",
    "check_layout",
    "check_visual_attention",
    "coco_images",
    "compare",
    "example",
    "examples",
    "input_similarity",
    "knock_out",
    "load",
    "logit_lens",
    "patch",
    "readability",
    "register_family",
    "restore_map",
    "scan",
    "show",
    "text_projections",
    "to_transformer_lens",
    "visual_attention",
]


_RENAMED = {
    "LabelledPicture": "LabelledImage",
    "Pixels": "Mask",
    "coco_pictures": "coco_images",
}
"""Names of version 0.1, which warn and go with the next one."""


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(
            f"llavit_lens.{name} is now llavit_lens.{new}; the old name goes with the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(import_module(__name__), new)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
