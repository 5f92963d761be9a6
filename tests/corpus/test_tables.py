"""Lists of images in tables: which column, which rows, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from llavit_lens.corpus.sources import source_of
from llavit_lens.errors import ConfigurationError

PATHS = ["b.png", "a, b.png", "sub/ä.png"]


def written(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_rows_in_their_order_from_the_folder_of_the_list(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"label": ["2020-01-01", "NA", "1"], "File_Name": PATHS})
    table = written(frame, tmp_path / f"list{suffix}")
    images = source_of(table)
    assert images.names == PATHS and images.remarks == []
    assert [images.read(i) for i in range(3)] == [tmp_path / name for name in PATHS]
    assert source_of(**images.origin).fingerprint == images.fingerprint
    (tmp_path / "other").mkdir()
    elsewhere = source_of(table, folder=tmp_path / "other")
    assert elsewhere.read(0) == tmp_path / "other" / "b.png"
    assert source_of(**elsewhere.origin).read(0) == elsewhere.read(0)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_an_image_is_read_once_and_a_row_without_path_is_left_out(
    tmp_path: Path, suffix: str
) -> None:
    frame = pd.DataFrame({"path": ["b.png", None, "a.png", "b.png", ""], "question": list("vwxyz")})
    images = source_of(written(frame, tmp_path / f"list{suffix}"))
    assert images.names == ["b.png", "a.png"]
    assert images.remarks == [
        "rows left out, they have no path: 2 (row 2; row 5)",
        "rows left out, their image is listed before: 1 (row 4, b.png)",
    ]


def test_another_column_by_its_name(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": ["a.png"], "path": ["b.png"], "left eye": ["c.png"]})
    table = written(frame, tmp_path / "list.csv")
    with pytest.raises(ConfigurationError, match="several columns may be") as error:
        source_of(table)
    assert "list.csv:COLUMN" in str(error.value)
    assert source_of(f"{table}:left eye").names == ["c.png"]
    assert source_of(table, column="path").names == ["b.png"]
    with pytest.raises(ConfigurationError, match="no column 'eye'; there are: image, path, left"):
        source_of(f"{table}:eye")
    with pytest.raises(ConfigurationError, match="twice"):
        source_of(f"{table}:path", column="image")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "cannot be read"),
        ("a.csv", b"path\n", "lists no images"),
        ("a.csv", b"path\n\n", "lists no images"),
        ("a.csv", b"x,y\n1,2\n", "no column is that of the paths, among x, y"),
        ("a.csv", b"cats/1.png\ncats/2.png\n", "its first line is a path"),
        ("a.csv", b"path,label\na.png,cat,\n", "cannot be read"),  # shifted columns
        ("a.csv", "path\ncafé.png\n".encode("latin-1"), "not text in UTF-8"),
        ("a.csv", "path\na.png\n".encode("utf-16"), "UTF-8"),
        ("a.jsonl", b"", "no column is"),
        ("a.jsonl", b'{"path": "a.png"}\n{"path"\n', "line 2 is no JSON"),
        ("a.jsonl", b'["a.png"]\n', "line 1 is no JSON object"),
        ("a.jsonl", b'{"path": 3}\n', "row 1 is 3, which is no text"),
        ("a.jsonl", '{"path": "é"}'.encode("latin-1"), "not text in UTF-8"),
        ("a.jsonl", b"[" * 100_000, "nested too deeply"),
        ("a.jsonl", b'{"path": "a\\u0000.png"}\n', "no file can have their path: 1"),
        ("a.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as error:
        source_of(tmp_path / name)
    assert "\n" not in str(error.value) and name in str(error.value)


def test_images_inside_a_parquet_file_are_no_paths(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": [{"bytes": b"\x89PNG", "path": "a.png"}]})
    with pytest.raises(ConfigurationError, match="column 'image' holds no paths"):
        source_of(written(frame, tmp_path / "list.parquet"))
