"""The stored first view is what the models that ship read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from explorer_results import decoded

from llavit_lens.explorer import first_view as module
from llavit_lens.explorer.first_view import FILE, compute_first_view, first_view, made_of
from llavit_lens.explorer.view import View
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE, example_names

RENEW = "renew it: python -m llavit_lens.explorer.first_view"


def test_it_is_of_the_files_that_ship() -> None:
    assert json.loads(FILE.read_text())["made_of"] == made_of(), RENEW


def test_it_equals_a_new_reading() -> None:
    stored, new = json.loads(FILE.read_text()), compute_first_view()
    assert stored.keys() == new.keys()
    (old_pane,), (new_pane,) = stored["still"].pop("panes"), new["still"].pop("panes")
    assert stored["still"] == new["still"], RENEW
    assert (stored["layer"], stored["patches"]) == (new["layer"], new["patches"]), RENEW
    numbers = {"ids", "strings", "values", "entropy"}
    assert {k: v for k, v in old_pane.items() if k not in numbers} == {
        k: v for k, v in new_pane.items() if k not in numbers
    }, RENEW
    (words, values, entropy), (words_2, values_2, entropy_2) = decoded(old_pane), decoded(new_pane)
    # another machine may round otherwise: a code or two, and words that are equally likely
    assert np.abs(values - values_2).max() < 0.01, RENEW
    assert np.abs(entropy - entropy_2).max() < 0.01, RENEW
    tied = np.abs(np.diff(values, axis=2, append=-np.inf)) < 0.01
    tied |= np.roll(tied, 1, axis=2)
    assert ((words == words_2) | tied).all(), RENEW


def test_it_is_for_that_view_alone() -> None:
    opening = View(picture=FIRST_EXAMPLE)
    assert first_view(opening) is not None
    for change in ({"word": "sky"}, {"prompt": "Where?"}, {"k": 3}, {"mode": "compare"},
                   {"model": "demo:baseline"}, {"picture": example_names()[1]}):  # fmt: skip
        assert first_view(View(**{"picture": opening.picture, **change})) is None
    assert first_view(View(picture=opening.picture, layer=3, patch=1, color="entropy"))


@pytest.mark.parametrize("fault", ["gone", "no JSON", "of other files"])
def test_a_file_that_does_not_fit_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    path = tmp_path / "first_view.json"
    stored = json.loads(FILE.read_text())
    if fault == "no JSON":
        path.write_text("{")
    elif fault == "of other files":
        stored["made_of"]["weights"] = "0" * 64
        path.write_text(json.dumps(stored))
    found = made_of()
    monkeypatch.setattr(module, "FILE", path)
    monkeypatch.setattr(module, "made_of", lambda: found)
    module._stored.cache_clear()
    try:
        assert first_view(View(picture=FIRST_EXAMPLE)) is None
    finally:
        module._stored.cache_clear()


@pytest.mark.long
def test_the_page_needs_no_pytorch_to_show_it() -> None:
    code = (
        "import sys, llavit_lens.explorer.page\n"
        "from llavit_lens.explorer.first_view import first_view\n"
        "from llavit_lens.explorer.view import View\n"
        f"assert first_view(View(picture={FIRST_EXAMPLE!r}))\n"
        "print([m for m in ('torch', 'transformers', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "[]"
