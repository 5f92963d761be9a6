"""How commands and analyses load a model: with a line on the terminal, and on few threads."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from llavit_lens.disk import shown
from llavit_lens.model.progress import watching
from llavit_lens.steps import step_line
from llavit_lens.vlm.load import load as load_model
from llavit_lens.vlm.threads import fit_threads
from llavit_lens.vlm.vlm import VLM
from llavit_lens.waiting import waiting


def load(name: str | Path, **options: Any) -> VLM:
    """As `llavit_lens.load`; meanwhile the terminal shows what is loaded, and how far it is.

    Args:
        name, options: as `llavit_lens.load` takes them.

    Raises:
        LlavitLensError: as `llavit_lens.load`.
    """
    title = f"Loading {shown(name)}"
    with waiting(title) as say:

        def watch(step: str, done: int, total: int) -> None:
            say(f"{title}: {step_line(step, done, total)}")

        # elsewhere bars of downloads are printed as the libraries print them
        with watching(watch) if sys.stderr.isatty() else nullcontext():
            vlm = load_model(name, **options)
    fit_threads(vlm.model)
    return vlm
