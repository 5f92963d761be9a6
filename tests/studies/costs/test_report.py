"""The scripts of Tables 4 and 5, end to end: what they print, write and refuse."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from loaded import loaded_after
from PIL import Image
from programs import ANALYSES, Program

from llavit_lens.studies.costs.report import flop_report, parameter_report

pytestmark = pytest.mark.long

REPORTS = {"table_4": parameter_report, "table_5": flop_report}


def check_table_4(table: pd.DataFrame) -> None:
    assert list(table)[:5] == ["base_llm", "method", "params", "params_b", "params_b_paper"]
    assert "counted_on" not in table  # every row on modules
    assert len(table) == 10
    printed = table[table.params_b_paper.notna()]
    assert len(printed) == 8 and (printed.params_b == printed.params_b_paper).all()


def check_table_5(table: pd.DataFrame) -> None:
    assert list(table)[:4] == ["module", "gflops_paper", "gflops_implied", "gflops"]
    assert len(table) == 6
    assert (table.flops == table.flops_by_formula).all()
    assert table.gflops_implied.isna().sum() == 1


CHECKS = {"table_4": check_table_4, "table_5": check_table_5}


@pytest.mark.parametrize("name", REPORTS)
def test_scripts_write_table_and_figure(script: Program, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    code, out, err = script(f"{name}.py", "--out", folder)
    assert (code, err) == (0, "")
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{name}.csv", f"{name}.pdf", f"{name}.png"]
    assert str(folder / name) in out.replace("\n", "")
    with Image.open(folder / f"{name}.png") as picture:
        picture.load()
        assert picture.width > 1000


@pytest.mark.parametrize("script", REPORTS)
def test_reports_print_and_repeat(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    printed = []
    for folder in ("a", "b"):
        REPORTS[script](tmp_path / folder)
        printed.append(capsys.readouterr().out)
    assert printed[0].replace("/a/", "/b/") == printed[1]
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name
    assert "…" not in printed[0]  # nothing is cut in a terminal of the usual width
    assert max(map(len, printed[0].split(str(tmp_path))[0].splitlines())) <= 80
    table = printed[0].replace("\n", " ")
    expected = {
        "table_4": ("16,873,360,384", "12 of the 12", "151,665", "16.88 for 16.87"),
        "table_5": ("5,426.1", "6,523.1", "Unexplained", "agree exactly", "0.75 %"),
    }
    for text in expected[script]:
        assert text in table
    CHECKS[script](pd.read_csv(tmp_path / "a" / f"{script}.csv"))


def test_without_out_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parameter_report()
    assert "Qwen2.5-14B" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", REPORTS)
def test_a_place_that_is_no_folder(script: Program, name: str, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("")
    for folder in (place, place / "deeper"):
        code, out, err = script(f"{name}.py", "--out", folder)
        assert (code, out) == (2, "")
        assert err.startswith("llavit-lens: error: ") and err.count("\n") == 1
        assert str(folder) in err


@pytest.mark.parametrize("name", REPORTS)
def test_a_file_that_cannot_be_written(script: Program, name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.csv").mkdir()
    code, _, err = script(f"{name}.py", "--out", tmp_path)
    assert code == 2
    assert err.startswith("llavit-lens: error: cannot write") and err.count("\n") == 1


@pytest.mark.parametrize("script", REPORTS)
def test_help_and_usage_errors_are_light(script: str) -> None:
    for option, code in (("--help", 0), ("--nonsense", 2)):
        program = (
            "import runpy\n"
            f"sys.argv = ['{script}.py', {option!r}]\n"
            f"try: runpy.run_path({str(ANALYSES / script)!r} + '.py', run_name='__main__')\n"
            f"except SystemExit as stop: assert stop.code == {code}\n"
        )
        assert loaded_after(program) == set()
