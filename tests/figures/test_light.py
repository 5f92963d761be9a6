"""Figures draw, and nothing else: they need neither PyTorch nor a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import llavit_lens.figures


@pytest.mark.long
def test_figures_are_drawn_without_pytorch() -> None:
    names = sorted(path.stem for path in Path(llavit_lens.figures.__file__).parent.glob("*.py"))
    assert len(names) > 10
    imports = "\n".join(f"import llavit_lens.figures.{name}" for name in names if name[0] != "_")
    check = "import sys; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{check}"], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"
