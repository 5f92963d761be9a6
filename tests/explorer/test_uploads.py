"""Uploaded files wait in Streamlit's memory: few of a session, bounded bytes of all."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from llavit_lens.explorer import uploads
from llavit_lens.explorer.uploads import MOST_FILES, BoundedUploads, bound_uploads, take_bytes


def record(name: str, size: int = 1) -> UploadedFileRec:
    return UploadedFileRec(name, f"{name}.png", "image/png", bytes(size))


def names(manager: MemoryUploadedFileManager, session: str) -> list[str]:
    return [r.file_id for r in manager.get_files(session, [f"f{i}" for i in range(99)])]


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A session of a server as Streamlit makes it."""
    found = SimpleNamespace(
        session_id="s", uploaded_file_mgr=MemoryUploadedFileManager("/_stcore/upload_file")
    )
    monkeypatch.setattr(uploads, "get_script_run_ctx", lambda: found)
    bound_uploads()
    return found


def test_a_session_keeps_its_newest_files(context: SimpleNamespace) -> None:
    manager = context.uploaded_file_mgr
    for number in range(20):
        manager.add_file("s", record(f"f{number}"))
    manager.add_file("t", record("f0"))
    assert names(manager, "s") == ["f18", "f19"] and names(manager, "t") == ["f0"]
    manager.add_file("s", record("f18"))  # the same once more takes no room
    assert names(manager, "s") == ["f18", "f19"] and MOST_FILES == 2


def test_all_sessions_together_are_bounded(
    context: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_BYTES", 100)
    manager = context.uploaded_file_mgr
    manager.add_file("s", record("f0", 0))
    for session in "tuvwx":
        manager.add_file(session, record("f0", 40))  # one name in all: they are still five files
    assert [names(manager, s) for s in "stuvwx"] == [["f0"], [], [], [], ["f0"], ["f0"]]
    manager.add_file(
        "y", record("f0", 1000)
    )  # the newest stays: the page says that it is too large
    assert names(manager, "y") == ["f0"] and names(manager, "x") == []
    assert names(manager, "s") == ["f0"]  # no bytes, and its uploader still knows it


def test_a_file_that_was_taken_is_kept_by_its_name(context: SimpleNamespace) -> None:
    manager = context.uploaded_file_mgr
    manager.add_file("s", record("f0", 1000))
    (kept,) = manager.get_files("s", ["f0"])
    file = UploadedFile(kept, None)
    assert take_bytes(file) == bytes(1000) and file.getvalue() == b""
    assert manager.get_files("s", ["f0"]) == [kept._replace(data=b"")]


def test_another_manager_is_left_alone_and_the_log_says_so(
    context: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Another(MemoryUploadedFileManager):
        pass

    context.uploaded_file_mgr = manager = Another("")
    bound_uploads()
    bound_uploads()
    assert type(manager) is Another and caplog.text.count("not bounded here") == 1
    file = UploadedFile(record("f0", 3), None)
    assert take_bytes(file) == bytes(3)


def test_outside_of_a_page_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "get_script_run_ctx", lambda: None)
    bound_uploads()
    assert take_bytes(UploadedFile(record("f0", 3), None)) == bytes(3)
    assert issubclass(BoundedUploads, MemoryUploadedFileManager)
