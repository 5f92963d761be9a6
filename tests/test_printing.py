"""Tables and notes on a terminal: every text is printed as it is."""

from __future__ import annotations

import pandas as pd
import pytest

from llavit_lens.printing import print_notes, print_remark, print_table, progress_bar, with_interval


def test_no_text_is_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["[red]:cat:"], [["[bold]cell :dog:"]], "[i]title :bus:")
    print_notes("[b]note", "[b]other :dog:")
    print_remark("left out: [/x]:key:.png")
    assert list(progress_bar([1, 2], "[dim]reading")) == [1, 2]
    out, err = capsys.readouterr()
    assert all(
        text in out
        for text in (
            "[red]:cat:",
            "[bold]cell :dog:",
            "[i]title :bus:",
            "[b]note",
            "[b]other :dog:",
        )
    )
    assert "left out: [/x]:key:.png\n" in err and "[dim]reading" in err


def test_a_remark_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_remark("word " * 100)
    assert capsys.readouterr().err.count("\n") == 1


def test_the_interval_is_half_of_its_width() -> None:
    row = pd.Series({"value": 0.5, "low": 0.3, "high": 0.9})
    assert with_interval(row) == "0.50 ±0.30"
    assert with_interval(row, decimals=1, scale=100) == "50.0 ±30.0"
