"""Each result is drawn by the figure that the table names, and by no other."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any
from unittest.mock import create_autospec

import pytest

from llavit_lens.results import plotting
from llavit_lens.results.attention_patterns import AttentionPatterns
from llavit_lens.results.comparison import Comparison
from llavit_lens.results.hits import Hits
from llavit_lens.results.readability import Readability
from llavit_lens.results.restore_map import RestoreMap
from llavit_lens.results.result import Result
from llavit_lens.results.token_words import TokenWords
from llavit_lens.results.words import Words

RESULTS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (AttentionPatterns, Comparison, Hits, Readability, RestoreMap, TokenWords, Words)
}


_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def test_the_table_holds_all_results() -> None:
    families = [Result, *Result.__subclasses__()]
    bases = {"Result", "LayeredWords"}
    kinds = {
        c.__name__
        for family in families
        for c in (family, *family.__subclasses__())
        if c.__module__.startswith("llavit_lens.")
    } - bases
    assert set(plotting.FIGURES) == set(RESULTS) == kinds | {"Comparison", "Hits"}  # of results


@pytest.mark.parametrize("name", RESULTS)
def test_plot_shows_the_options_of_its_figure(name: str) -> None:
    module, function = plotting.FIGURES[name].split(":")
    of_figure = inspect.signature(getattr(import_module(module), function)).parameters
    of_plot = inspect.signature(RESULTS[name].plot).parameters
    assert inspect.Parameter.VAR_KEYWORD not in {option.kind for option in of_plot.values()}
    drawn = dict(list(of_figure.items())[1:])  # the result comes first
    shown = {key: option for key, option in of_plot.items() if key != "self"}
    assert set(shown) == set(drawn)
    for key, option in shown.items():
        assert option.default == drawn[key].default, key
        assert _same_type(option.annotation, drawn[key].annotation), key
        assert f"{key}:" in RESULTS[name].plot.__doc__ or f"{key}," in RESULTS[name].plot.__doc__


def _same_type(plot: str, figure: str) -> bool:
    """The names of types, as they stand in the files."""
    return plot == figure.replace("Scale", "Literal['data', 'fixed']").replace(
        "Opener", "Callable[[int], Image.Image]"
    )


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
