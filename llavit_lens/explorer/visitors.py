"""How many people a public page takes at once: each of them holds memory."""

from __future__ import annotations

from threading import Lock

from streamlit.runtime import exists, get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

MOST_VISITORS = 64
_seats: set[str] = set()
_LOCK = Lock()


def has_seat() -> bool:
    """Whether this session is among the visitors; it becomes one where there is room."""
    context = get_script_run_ctx()
    if context is None or not exists():
        return True
    server = get_instance()
    with _LOCK:
        if context.session_id in _seats:
            return True
        _seats.difference_update([seat for seat in _seats if not server.is_active_session(seat)])
        if len(_seats) >= MOST_VISITORS:
            return False
        _seats.add(context.session_id)
        return True
