"""LLaViT as an ordinary Hugging Face model; importing this registers it with the Auto classes."""

from __future__ import annotations

from importlib.metadata import version

from llavit_lens.errors import ConfigurationError, one_line
from llavit_lens.model.tested import NEWEST_TESTED, OLDEST_TESTED
from llavit_lens.rows import VISUAL_ATTENTION_MODES

try:
    from llavit_lens.model.configuration import LlavitConfig
    from llavit_lens.model.modeling import LlavitForConditionalGeneration, LlavitModel
    from llavit_lens.model.processing import LlavitProcessor
    from llavit_lens.model.registration import register
except ImportError as error:  # a release of transformers outside of the range
    raise ConfigurationError(
        f"llavit-lens cannot use transformers {version('transformers')} with torch "
        f"{version('torch')} ({one_line(error)}); run "
        f"pip install 'transformers>={OLDEST_TESTED},<={NEWEST_TESTED}'."
    ) from error

register()

__all__ = [
    "VISUAL_ATTENTION_MODES",
    "LlavitConfig",
    "LlavitForConditionalGeneration",
    "LlavitModel",
    "LlavitProcessor",
]
