"""tqdm warns, when a notebook without ipywidgets imports it first, that bars need them.

transformers imports it, so the warning would stand above every notebook; bars of text are fine.
"""

from __future__ import annotations

import sys
import warnings

if "ipykernel" in sys.modules:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        import tqdm.auto  # noqa: F401
