"""A bound on the visitors of a public page, since each of them takes memory."""

from __future__ import annotations

from threading import Lock

from streamlit.runtime import exists, get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

MOST_VISITORS = 64
_sessions: set[str] = set()
_LOCK = Lock()


def admit_visitor() -> bool:
    """Whether this session is among the visitors; it becomes one if there is room."""
    context = get_script_run_ctx()
    if context is None or not exists():
        return True
    server = get_instance()
    with _LOCK:
        if context.session_id in _sessions:
            return True
        _sessions.difference_update(
            [session for session in _sessions if not server.is_active_session(session)]
        )
        if len(_sessions) >= MOST_VISITORS:
            return False
        _sessions.add(context.session_id)
        return True
