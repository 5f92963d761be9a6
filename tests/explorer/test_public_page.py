"""A page for everybody offers its own models, and shows no folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from explorer_page import PUBLIC, SECONDS, ShownView, link_of
from streamlit.testing.v1 import AppTest

from llavit_lens.explorer import sidebar, visitors
from llavit_lens.vlm.load import checkpoint_folder

pytestmark = pytest.mark.long


def test_a_public_page_offers_no_folder(shown: list[ShownView], tmp_path: Path) -> None:
    page = AppTest.from_string(PUBLIC, default_timeout=SECONDS)
    page.query_params["model"] = str(tmp_path)
    page.run()
    assert not page.exception
    assert "not among the models of this page" in page.warning[0].value
    assert not [button for button in page.button if "Load" in button.label]
    assert page.selectbox(key="model").options[0] == "owner/name"


def test_a_public_page_shows_no_path(shown: list[ShownView], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(checkpoint_folder("demo:llavit"), folder)
    script = PUBLIC.replace("owner/name", str(folder))
    page = AppTest.from_string(script, default_timeout=SECONDS)
    page.query_params.update(model="mine", layer="4")
    page.run()
    assert not page.exception and not page.error and not page.warning
    assert page.selectbox(key="model").options[0] == "mine"
    assert not [box for box in page.selectbox if box.key in ("device", "dtype")]
    assert shown[-1].names == ["mine"]
    assert link_of(page)["model"] == "mine" and str(tmp_path) not in str(link_of(page))
    (folder / "config.json").write_text("{")
    again = AppTest.from_string(script, default_timeout=SECONDS)
    again.query_params["model"] = "mine"
    again.run()
    assert "mine" in again.error[0].value and tmp_path.name not in again.error[0].value
    named = AppTest.from_string(script, default_timeout=SECONDS)
    named.query_params["model"] = str(folder)  # no way to try which folders are there
    named.run()
    assert "not among the models of this page" in named.warning[0].value


def test_a_public_page_takes_so_many_visitors(
    shown: list[ShownView], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "admit_visitor", lambda: False)
    page = AppTest.from_string(PUBLIC, default_timeout=SECONDS).run()
    assert not page.exception and not shown and len(page.get("selectbox")) == 0
    assert "64 people have this page open" in page.error[0].value


def test_a_public_page_loads_no_folder_whatever_a_browser_sends(
    shown: list[ShownView], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidebar, "show_sidebar", lambda models: None)
    page = AppTest.from_string(PUBLIC, default_timeout=SECONDS)
    page.session_state["model"] = str(tmp_path)
    page.run()
    assert not page.exception and not shown
    assert "not among the models" in page.error[0].value


def test_seats_are_free_once_their_sessions_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    active, session = set(), SimpleNamespace(session_id="")
    monkeypatch.setattr(visitors, "MOST_VISITORS", 2)
    monkeypatch.setattr(visitors, "exists", lambda: True)
    monkeypatch.setattr(
        visitors, "get_instance", lambda: SimpleNamespace(is_active_session=active.__contains__)
    )
    monkeypatch.setattr(visitors, "get_script_run_ctx", lambda: session)

    def comes(name: str) -> bool:
        active.add(name)
        session.session_id = name
        return visitors.admit_visitor()

    assert [comes(name) for name in "abcaab"] == [True, True, False, True, True, True]
    active.remove("a")
    assert [comes(name) for name in "cab"] == [True, False, True]
