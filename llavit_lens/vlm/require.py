"""Is it a model as `llavit_lens.load` returns it?"""

from __future__ import annotations

from typing import Any

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.vlm import VLM


def require_vlm(vlm: Any) -> None:
    """Raise ConfigurationError for anything that is no `VLM`: a name, a bare model."""
    if not isinstance(vlm, VLM):
        what = repr(vlm) if isinstance(vlm, str) else f"a {type(vlm).__name__}"
        raise ConfigurationError(
            f"{what} is no VLM; pass what ll.load returns, as in vlm = ll.load('demo:llavit')."
        )
