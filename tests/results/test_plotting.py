"""Each result is drawn by the figure that the table names, and by no other."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any
from unittest.mock import create_autospec

import pytest

from llavit_lens.results import plotting
from llavit_lens.results.attention_patterns import AttentionPatterns
from llavit_lens.results.readability import Readability
from llavit_lens.results.restore_map import RestoreMap
from llavit_lens.results.result import Result
from llavit_lens.results.words import Words

RESULTS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (AttentionPatterns, Readability, RestoreMap, Words)
}


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def test_the_table_holds_all_results() -> None:
    kinds = {c.__name__ for c in Result.__subclasses__() if c.__module__.startswith("llavit_lens.")}
    assert set(plotting.FIGURES) == set(RESULTS) == kinds


@pytest.mark.parametrize("name", RESULTS)
def test_the_figure_takes_what_plot_passes_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, function = plotting.FIGURES[name].split(":")
    drawn = getattr(import_module(module), function)
    spy = create_autospec(drawn, return_value="figure")  # of the same signature
    monkeypatch.setattr(f"{module}.{function}", spy)
    result = RESULTS[name].__new__(RESULTS[name])
    assert result.plot() == "figure"
    assert spy.call_args.args[0] is result
    options = {
        parameter.name: object()
        for parameter in inspect.signature(RESULTS[name].plot).parameters.values()
        if parameter.name != "self" and parameter.kind not in _VARIABLE
    }
    result.plot(**options)
    bound = inspect.signature(drawn).bind(*spy.call_args.args, **spy.call_args.kwargs).arguments
    assert {name: bound[name] for name in options} == options


def test_a_subclass_is_drawn_like_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Words):
        pass

    module, function = plotting.FIGURES["Words"].split(":")
    monkeypatch.setattr(f"{module}.{function}", lambda *arguments, **options: "figure")
    assert Mine.__new__(Mine).plot() == "figure"
