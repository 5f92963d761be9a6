"""What a link shows, and what it cannot do."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from browser import EXPLORER
from explorer_page import PUBLIC, SECONDS, ShownView, link_of
from streamlit.runtime.state.query_params_proxy import QueryParamsProxy
from streamlit.testing.v1 import AppTest

from llavit_lens.explorer import download_buttons
from llavit_lens.explorer.view import UNPINNED
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE, example_names

pytestmark = pytest.mark.long


def test_a_link_restores_its_view(page: AppTest, shown: list[ShownView]) -> None:
    page.query_params.update(
        picture=example_names()[2], model="demo:baseline", layer="4", patch="9", color="entropy",
        scale="layer", labels="merged", k="3", word="sky",
    )  # fmt: skip
    before = link_of(page)
    page.run()
    assert not page.exception and not page.error and not page.warning
    (pane,) = shown[-1].panes
    assert "baseline" in pane["name"] and pane["k"] == 3
    assert shown[-1].start == {
        "slot": 5, "pin": 9, "color": "entropy", "scale": "layer", "labels": "merged",
    }  # fmt: skip
    assert shown[-1].search["word"] == "sky"
    assert link_of(page) == before


def test_a_layer_beyond_the_last_is_the_last(page: AppTest, shown: list[ShownView]) -> None:
    page.query_params.update(layer="99", patch="5000", model="demo:baseline")
    page.run()
    assert not page.exception
    start = shown[-1].start
    pane = shown[-1].panes[0]
    assert start["slot"] == len(pane["slots"]) - 1 and 0 <= start["pin"] < 64


def test_a_link_loads_no_model_by_itself(
    page: AppTest, shown: list[ShownView], tmp_path: Path
) -> None:
    page.query_params["model"] = str(tmp_path)
    page.run()
    assert not page.exception
    assert "asks for the model" in page.warning[0].value
    assert "LLaViT" in shown[-1].names[0]
    page.button(key="load_model").click().run()
    assert not page.exception and len(page.error) == 1  # an empty folder is no model


@pytest.mark.parametrize(
    "query", [{"picture": "../../etc/passwd"}, {"picture": "own"}, {"k": "many"}]
)
def test_a_link_that_is_not_valid(
    page: AppTest, shown: list[ShownView], query: dict[str, str]
) -> None:
    page.query_params.update(query)
    page.run()
    assert not page.exception and len(page.warning) == 1 and shown


def test_a_model_that_does_not_exist(page: AppTest, shown: list[ShownView]) -> None:
    page.query_params["model"] = "/no/such/folder"
    page.run()
    page.button(key="load_model").click().run()
    assert not page.exception and len(page.error) == 1
    assert "no such folder" in page.error[0].value


def agreed_pin(page: AppTest, shown: list[ShownView]) -> tuple[int, int] | None:
    """The pin, as (row, column), once all parts of the page have named the same one."""
    start = shown[-1].start
    assert all(view.start == start for view in shown)  # the early view as well
    places = [s.value for s in page.subheader if "through the layers" in s.value]
    assert len(places) == 1
    columns = shown[-1].panes[0]["grids"][0][1]
    pin = start["pin"]
    if pin is None:
        assert places == ["A patch through the layers"]
        return None
    row, col = divmod(pin, columns)
    assert places == [f"The patch at row {row}, column {col}, through the layers"]
    return row, col


@pytest.mark.parametrize(
    "query",
    [{}, {"layer": "5"}, {"layer": "similarity"}, {"layer": "5", "model": "demo:baseline"},
     {"layer": "4", "mode": "compare"}, {"layer": "5", "word": "red"}, {"patch": "none"}],
)  # fmt: skip
def test_all_parts_of_the_page_show_one_pin(
    page: AppTest, shown: list[ShownView], monkeypatch: pytest.MonkeyPatch, query: dict[str, str]
) -> None:
    saved = []
    monkeypatch.setattr(
        download_buttons, "page_html", lambda words, start, search: saved.append(start) or "<html>"
    )
    monkeypatch.setattr(
        download_buttons.st, "download_button", lambda label, data, **_: "HTML" in label and data()
    )
    page.query_params.update(query)
    page.run()
    assert not page.exception and not page.error and not page.warning
    pin = agreed_pin(page, shown)
    assert (pin is None) == (query.get("patch") == "none")
    assert saved == [shown[-1].start]
    assert link_of(page) == {"picture": FIRST_EXAMPLE, **query}


@pytest.mark.parametrize("model", ["demo:llavit", "demo:baseline"])
def test_what_a_link_names_and_is_not_there_is_reported_and_corrected(
    page: AppTest, shown: list[ShownView], model: str
) -> None:
    page.query_params.update(picture="nope", layer="999", patch="999999", model=model)
    page.run()
    assert not page.exception and len(page.warning) == 1
    bare = page.warning[0].value.replace("\\", "")
    assert "No layer 999: this is layer 6, the last." in bare
    assert "No example scene 'nope': this is fish, chicken, slow." in bare
    assert "the last is 63" in page.warning[0].value
    assert agreed_pin(page, shown) and shown[-1].start["slot"] == 7
    assert link_of(page)["layer"] == "6" and "patch" not in link_of(page)
    page.run()
    assert not page.warning


def test_a_pin_that_was_taken_away_stays_away(page: AppTest, shown: list[ShownView]) -> None:
    page.run()
    for name, value in (("layer", 2), ("patch", UNPINNED), ("color", "entropy")):
        page.session_state[name] = value
    shown.clear()
    page.run()
    assert not page.exception and agreed_pin(page, shown) is None
    assert link_of(page)["patch"] == "none"
    page.selectbox(key="model").set_value("demo:baseline").run()
    assert "baseline" in shown[-1].names[0] and shown[-1].start["pin"] is not None


def test_a_link_keeps_the_model_that_waits_until_it_is_declined(
    page: AppTest, shown: list[ShownView], tmp_path: Path
) -> None:
    page.query_params.update(model=str(tmp_path), layer="30")
    page.run()
    page.text_input(key="word").set_value("red").run()
    assert link_of(page)["model"] == str(tmp_path) and link_of(page)["layer"] == "30"
    assert len(page.warning) == 1  # of the model; the layer may be right for it
    page.button(key="decline_model").click().run()
    assert not page.exception and "model" not in link_of(page)
    assert len(page.warning) == 1 and "this is layer 6, the last" in page.warning[0].value


def test_ones_own_model_survives_a_reload(page: AppTest, shown: list[ShownView]) -> None:
    folder = str(files("llavit_lens") / "assets" / "checkpoints" / "no_visual_attention")
    page.session_state["model"] = folder  # as if typed: AppTest cannot
    page.run()
    assert not page.exception and not page.error
    assert link_of(page)["model"] == folder
    again = AppTest.from_file(str(EXPLORER), default_timeout=SECONDS)
    again.query_params["model"] = folder
    again.run()
    assert not again.exception and not again.warning
    assert shown[-1].names[0] == folder
    public = AppTest.from_string(PUBLIC, default_timeout=SECONDS)
    public.query_params["model"] = folder
    public.run()
    assert "not among the models of this page" in public.warning[0].value


def test_the_address_is_written_again_when_a_run_has_an_old_one(
    page: AppTest, shown: list[ShownView], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    page.run()
    from_dict = QueryParamsProxy.from_dict
    monkeypatch.setattr(
        QueryParamsProxy,
        "from_dict",
        lambda self, query: (written.append(query), from_dict(self, query)),
    )
    before = link_of(page)
    page.run()
    assert not written
    page.selectbox(key="picture").set_value(example_names()[1]).run()
    assert [query["picture"] for query in written] == [example_names()[1]]
    page.query_params.update(before)  # the browser sent the next run with the old address
    page.selectbox(key="picture").set_value(example_names()[0]).run()
    assert [query["picture"] for query in written[1:]] == [example_names()[0]]
