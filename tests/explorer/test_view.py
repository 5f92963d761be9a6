"""A link holds a view, and cannot hold anything else."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer.ablation import Ablation, of_link, to_link
from llavit_lens.explorer.choices import ABLATIONS, COLORS, MODES, PAIRS
from llavit_lens.explorer.view import MOST_WORDS, UNPINNED, View

ablations = st.builds(
    Ablation,
    st.sampled_from(sorted(ABLATIONS)),
    st.integers(0, 40),
    st.none() | st.integers(40, 80),
)
texts = st.text(st.characters(exclude_categories=("C", "Z")), max_size=64)
views = st.builds(
    View,
    picture=texts,
    model=texts,
    mode=st.sampled_from(sorted(MODES)),
    other=texts,
    layer=st.none() | st.integers(-1, 80),
    patch=st.none() | st.integers(0, 2880),
    color=st.sampled_from(sorted(COLORS)),
    k=st.integers(1, MOST_WORDS),
    word=texts,
    prompt=texts,
    ablation=st.lists(ablations, unique_by=lambda a: a.kind).map(to_link),
    pair=st.sampled_from(sorted(PAIRS)),
)


@given(views)
def test_a_link_gives_back_its_view(view: View) -> None:
    assert View.from_query(view.to_query()) == (view, [])


def test_the_first_view_has_the_shortest_link() -> None:
    assert View().to_query() == {}


@given(st.dictionaries(st.sampled_from([f.name for f in fields(View)] + ["x"]), st.text()))
def test_any_link_gives_a_view(query: dict[str, str]) -> None:
    view, faults = View.from_query(query)
    again, none = View.from_query(view.to_query())
    assert (again, none) == (view, [])
    assert all(fault and "\n" not in fault for fault in faults)


@pytest.mark.parametrize(
    "query",
    [
        {"layer": "1e3"},
        {"layer": "-1"},
        {"layer": "１"},
        {"layer": "1001"},
        {"patch": "99999999999999999999"},
        {"k": "0"},
        {"k": "11"},
        {"mode": "admin"},
        {"color": "<script>"},
        {"ablation": "__import__"},
        {"ablation": "visual_attention:3"},
        {"ablation": "visual_attention:3-2"},
        {"ablation": "visual_attention:-1-2"},
        {"ablation": "causal,causal:1-2"},
        {"ablation": "none,causal"},
        {"ablation": ""},
        {"model": "a" * 201},
        {"model": "a\nb"},
        {"word": "\u202eevil"},
        {"prompt": "\x00"},
    ],
)
def test_what_makes_no_sense_is_left_out_and_said(query: dict[str, str]) -> None:
    view, faults = View.from_query({**query, "other": "kept"})
    assert view == View(other="kept")
    assert len(faults) == 1 and next(iter(query)) in faults[0]


def test_a_view_checks_itself() -> None:
    with pytest.raises(ConfigurationError, match="prompt is longer than 500"):
        View(prompt="a" * 501)


@pytest.mark.parametrize("name", ["mode", "color", "ablation", "layer"])
def test_a_long_value_does_not_fill_the_page(name: str) -> None:
    _, faults = View.from_query({name: "x" * 18_000})
    assert len(faults) == 1 and len(faults[0]) < 300


def test_no_pin_is_a_word_in_the_link() -> None:
    assert View(patch=UNPINNED).to_query() == {"patch": "none"}
    assert View.from_query({"patch": "none"}) == (View(patch=UNPINNED), [])
    assert View.from_query({"layer": "none"})[1]


def test_interventions_in_a_link() -> None:
    text = "visual_attention,visual->visual:0-2,text->visual:2-"
    chosen = Ablation("visual_attention"), Ablation("visual->visual", 0, 2)
    assert of_link(text) == (*chosen, Ablation("text->visual", 2, None))
    assert to_link(of_link(text)) == text
    assert of_link("none") == () and to_link(()) == "none"
