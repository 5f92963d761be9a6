"""Results and images need neither a model nor a figure: a saved result is read in a second."""

from __future__ import annotations

import subprocess
import sys

IMPORT_ALL = """
import pkgutil, sys
from importlib import import_module
from llavit_lens import images, results
for package in (images, results):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        import_module(module.name)
print(*sys.modules)
"""


def test_no_module_of_them_imports_a_model_or_a_figure() -> None:
    run = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True, timeout=120
    )
    modules = set(run.stdout.split())
    assert {"llavit_lens.results.words_file", "llavit_lens.images.regions", "pyarrow"} <= modules
    assert modules.isdisjoint({"torch", "transformers", "matplotlib"})
