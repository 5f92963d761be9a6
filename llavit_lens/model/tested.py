"""The releases of transformers that the tests passed with: of every minor release between, one."""

from __future__ import annotations

OLDEST_TESTED = "5.10.1"
NEWEST_TESTED = "5.24.0"
