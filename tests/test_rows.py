"""The rows of the tables, against what the paper says of each."""

from __future__ import annotations

from llavit_lens.rows import ROWS, VISUAL_ATTENTION_MODES


def test_each_row_has_the_papers_switches() -> None:
    with_own_projections = {name for name, row in ROWS.items() if row.separate_visual_qkv}
    assert set(ROWS) - with_own_projections == {"baseline", "no_visual_attention"}
    bidirectional = {name for name, row in ROWS.items() if row.visual_attention == "bidirectional"}
    assert bidirectional == {"separate_qkv_bidirectional", "llavit"}
    skipping = {name for name, row in ROWS.items() if row.visual_attention == "none"}
    assert skipping == {"no_visual_attention"}
    local_and_global = {name for name, row in ROWS.items() if row.local_and_global}
    assert local_and_global == {"separate_qkv_local_global", "llavit"}
    assert {row.visual_attention for row in ROWS.values()} == set(VISUAL_ATTENTION_MODES)
    assert all(name == row.name for name, row in ROWS.items())
