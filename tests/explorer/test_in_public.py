"""What any program may do to a page that is served to others, on a real server."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import explorer_server, open_browser
from explorer_browser import DESKTOP, MILLISECONDS, link, settled
from explorer_visitor import visitor
from PIL import Image

from llavit_lens.explorer.uploads import MOST_BYTES
from llavit_lens.vlm.load import checkpoint_folder

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("public") / "log.txt"
    with explorer_server("--public", log=log) as address:
        yield address
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("local") / "log.txt"
    with explorer_server(log=log) as address:
        yield address
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


def test_a_local_page_shows_nothing_under_another_name(local: str) -> None:
    port = local.rpartition(":")[2]
    with visitor(local, f"evil.example:{port}") as evil:
        assert len(evil.alerts) == 1 and "for this machine alone" in evil.alerts[0]
        assert set(evil.elements) == {"alert"}
    with visitor(local, f"localhost:{port}") as own:
        assert own.uploader and "file_uploader" in own.elements


def test_a_public_page_has_any_name(public: str) -> None:
    with visitor(public, "page.example") as found:
        assert found.uploader


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_uploads_of_one_visitor_are_bounded(public: str) -> None:
    with visitor(public) as found:
        before = memory_of(public)
        data = os.urandom(10 * 2**20)
        assert {found.put(data)[0] for _ in range(30)} == {204}
        assert memory_of(public) - before < 2 * MOST_BYTES  # 300 MB were sent
        found.run((*found.put(data[:1000])[1:], "mine.png", 1000))
        assert any("not an image" in text for text in found.alerts)


def test_an_image_is_used_though_its_bytes_are_gone(public: str) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((50, 40), 60).save(buffer, "PNG")
    with visitor(public) as found:
        upload = (*found.put(buffer.getvalue())[1:], "mine.png", 9)
        for _ in range(2):  # once more: the uploader still has its file
            found.run(upload)
            assert found.alerts == [] and "file_uploader" in found.elements


def test_a_public_page_in_a_browser(tmp_path: Path) -> None:
    folder = tmp_path / "kept-secret" / "mine"
    shutil.copytree(checkpoint_folder("demo:llavit"), folder)
    log = tmp_path / "log.txt"
    with (
        explorer_server("--public", "--model", str(folder), folder=tmp_path, log=log) as address,
        open_browser() as browser,
    ):
        page = browser.new_page(viewport=DESKTOP)
        page.set_default_timeout(MILLISECONDS)
        received = []
        page.on(
            "websocket",
            lambda socket: socket.on("framereceived", lambda data: received.append(data)),
        )
        page.goto(f"{address}/?model=/etc&layer=4")
        page.get_by_text("Take it with you").wait_for()
        settled(page)
        alerts = page.get_by_test_id("stAlert")
        assert alerts.count() == 1
        assert (
            alerts.text_content() == "/etc: not among the models of this page; choose one of those."
        )
        assert "model" not in link(page, "layer=4")
        assert page.get_by_text("type a folder").count() == 0
        chosen = page.get_by_role("combobox", name="Model")
        chosen.click()
        assert page.get_by_role("option").first.text_content() == "mine"
        chosen.fill("/etc")
        page.get_by_text("No results").wait_for()
        chosen.fill("")
        page.get_by_role("option", name="mine").click()
        page.locator("h3.name").get_by_text("mine").wait_for()
        settled(page)
        query = link(page, "model=mine")
        again = browser.new_page()
        again.set_default_timeout(MILLISECONDS)
        again.goto(f"{address}/{query}")
        again.get_by_text("Take it with you").wait_for()
        assert again.locator("h3.name").text_content() == "mine"
        assert again.locator(".layer").text_content() == "layer 4 of 6"
        sent = b"".join(data if isinstance(data, bytes) else data.encode() for data in received)
        assert b"mine" in sent and b"kept-secret" not in sent
        for each in (page, again):
            assert "kept-secret" not in each.content() + each.url
            each.close()


def memory_of(address: str) -> int:
    """Bytes of the server that listens at an address on this machine."""
    port = int(address.rpartition(":")[2])
    for process in Path("/proc").glob("[0-9]*"):
        command = (process / "cmdline").read_bytes().split(b"\0")
        if b"streamlit" in command and str(port).encode() in command:
            resident = re.search(r"VmRSS:\s+(\d+)", (process / "status").read_text())
            return 1024 * int(resident[1])
    raise RuntimeError("no such server")
