"""Bounds on the uploaded files that Streamlit keeps in memory."""

from __future__ import annotations

import logging
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

MOST_FILES = 2
"""Of a session: the file in the uploader, and one that replaces it."""
MOST_BYTES = 64 * 1024 * 1024
"""Of all sessions."""
_LOCK = Lock()


class BoundedUploads(MemoryUploadedFileManager):
    """Streamlit's own manager keeps every file that a browser sends until its session ends. This
    one drops the older files."""

    def add_file(self, session_id: str, file: UploadedFileRec) -> None:
        with _LOCK:
            super().add_file(session_id, file)
            for name in list(self.file_storage.get(session_id, {}))[:-MOST_FILES]:
                self.remove_file(session_id, name)
            records = [
                (session, record)
                for session, files in list(self.file_storage.items())
                for record in list(files.values())
            ]
            total = sum(len(record.data) for _, record in records)
            for session, record in records:
                if total <= MOST_BYTES:
                    break
                if record.data and record is not file:
                    self.remove_file(session, record.file_id)
                    total -= len(record.data)


def bound_uploads() -> None:
    """Bound the uploads of this server from now on."""
    context = get_script_run_ctx()
    if context is None:
        return
    manager = context.uploaded_file_mgr
    if type(manager) is MemoryUploadedFileManager:
        # Streamlit makes its manager before any page runs, and accepts no other
        manager.__class__ = BoundedUploads
    elif not isinstance(manager, BoundedUploads):
        _warn_unbounded()


def take_bytes(file: UploadedFile) -> bytes:
    """The bytes of an uploaded file; Streamlit then only keeps its name."""
    data = file.getvalue()
    file.seek(0)
    file.truncate()
    if (context := get_script_run_ctx()) is not None:
        manager = context.uploaded_file_mgr
        if isinstance(manager, BoundedUploads):
            empty = UploadedFileRec(file.file_id, file.name, file.type, b"")
            manager.add_file(context.session_id, empty)
    return data


@cache
def _warn_unbounded() -> None:
    logging.getLogger(__name__).warning(
        "this version of Streamlit keeps uploads in another way: their memory is not bounded here"
    )
