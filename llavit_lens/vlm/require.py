"""Is it a model as `llavit_lens.load` returns it, or a trace of one?"""

from __future__ import annotations

from typing import Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.trace import Trace
from llavit_lens.vlm.vlm import VLM


def require_vlm(vlm: Any) -> None:
    """Raise ConfigurationError for anything that is no `VLM`: a name, a bare model."""
    if not isinstance(vlm, VLM):
        raise ConfigurationError(
            f"{_named(vlm)} is no VLM; pass what ll.load returns, as in "
            "vlm = ll.load('demo:llavit')."
        )


def require_trace(trace: Any) -> None:
    """Raise ConfigurationError for anything that is no `Trace`: an image, a VLM."""
    if not isinstance(trace, Trace):
        raise ConfigurationError(
            f"{_named(trace)} is no trace; pass what vlm.trace returns, as in "
            "ll.logit_lens(vlm.trace('dog.jpg'))"
        )


def _named(value: Any) -> str:
    return repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
