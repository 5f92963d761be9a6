"""Every family that tests set up, by name: `CASES["qwen2_vl"].vlm()`.

Names are those of model types; where one type comes in several ways, what differs is added.
"""

from __future__ import annotations

from family_case import Case
from family_cases_grid import GRIDS
from family_cases_other import CODES, GIVEN, NO_MAP, ROWS, SHAPED, STITCHED
from family_cases_tiles import ONE_PIECE, TILES

CASES: dict[str, Case] = {
    case.name: case
    for case in (*(*GRIDS, *ONE_PIECE, *TILES, *STITCHED, *ROWS, *SHAPED, *GIVEN, *CODES, *NO_MAP),)
}

_PENDING: frozenset[str] = frozenset()
READ = tuple(name for name in CASES if name not in _PENDING)
"""Those that the package reads."""
