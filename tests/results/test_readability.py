"""The result of `readability`: saved, loaded, drawn, and still used as a table for one version."""

from __future__ import annotations

import copy
import pickle
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from llavit_lens.errors import ConfigurationError
from llavit_lens.results.readability import Readability


def made(model: str = "m") -> Readability:
    """Two measures in three states, and one that is measured once."""
    rng = np.random.default_rng(0)
    rows = [("hit", 3, layer) for layer in range(3)] + [("localisation", None, n) for n in range(3)]
    rows.append(("probe_tower", None, None))
    table = pd.DataFrame(rows, columns=["measure", "k", "layer"])
    table = table.astype({"layer": "Int64", "k": "Int64"})[["measure", "layer", "k"]]
    table.insert(0, "model", model)
    for name in ("value", "low", "high"):
        table[name] = rng.random(len(table))
    table["chance"] = [0.5] * 6 + [np.nan]
    table["n"] = np.arange(1, 8)
    return Readability(
        table=table,
        n_images=4,
        unreadable=["one.png: is broken"],
        left_out=["giraffe"],
        by_first_piece=[],
        provenance={"model": "folder/m", "revision": None, "prompt": "USER: What?"},
    )


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    result = made()
    result.save(tmp_path / "r.parquet")
    loaded = Readability.load(tmp_path / "r.parquet")
    assert loaded == result and loaded.provenance == result.provenance
    pd.testing.assert_frame_equal(loaded.table, result.table)
    assert loaded.to_bytes() == result.to_bytes()


def test_others_can_read_the_file(tmp_path: Path) -> None:
    made().save(tmp_path / "r.parquet")
    table = pd.read_parquet(tmp_path / "r.parquet")
    pd.testing.assert_frame_equal(table, made().table, check_dtype=False)


def test_damage_is_seen() -> None:
    result, chance = made(), random.Random(0)
    contents = result.to_bytes()
    for _ in range(150):
        damaged = bytearray(contents)
        damaged[chance.randrange(len(contents))] ^= 1 << chance.randrange(8)
        with pytest.raises(ConfigurationError):
            Readability.load(damaged)


@pytest.mark.parametrize(
    "change",
    [
        {"n": np.zeros(7, np.int64)},
        {"n": np.ones(7)},
        {"layer": np.arange(7)},
        {"k": pd.array([-1] * 7, "Int64")},
        {"value": ["x"] * 7},
        {"model": [1] * 7},
        {"more": [1] * 7},
    ],
)
def test_tables_of_other_columns_are_not_saved(change: dict[str, Any]) -> None:
    result = made()
    with pytest.raises(ConfigurationError, match="do not fit together"):
        replace(result, table=result.table.assign(**change)).to_bytes()


def test_it_says_what_it_is() -> None:
    result = made()
    assert repr(result) == "Readability(folder/m, 4 images, 3 measures)"
    assert result.name == "m"
    table = result.to_pandas()
    assert list(table.columns) == [*result.table.columns, "prompt", "n_images"]
    assert set(table["prompt"]) == {"USER: What?"} and set(table["n_images"]) == {4}
    assert result != replace(result, table=result.table.iloc[:-1])
    assert pickle.loads(pickle.dumps(result)) == copy.deepcopy(result) == result


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def test_several_models_are_drawn_in_one_figure() -> None:
    figure: Any = made().plot(made("other"), what="4 scenes")
    assert figure.caption.startswith("4 scenes, read by the logit lens")
    assert {"m", "other"} <= set(texts_of(figure))
    alone: Any = made().plot()
    assert alone.caption.startswith("4 images")


def test_it_is_used_as_a_table_with_a_warning() -> None:
    result = made()
    with pytest.warns(DeprecationWarning, match=r"its table is \.table"):
        assert result["value"].tolist() == result.table["value"].tolist()
    with pytest.warns(DeprecationWarning, match="groupby"):
        assert len(result.groupby("measure").mean(numeric_only=True)) == 3
    with pytest.warns(DeprecationWarning, match="len"):
        assert len(result) == len(result.table) and result
    with pytest.warns(DeprecationWarning, match="'iter'"):
        assert list(result) == list(result.table)
    with pytest.warns(DeprecationWarning, match="'in'"):
        assert "value" in result and "no such" not in result
    with pytest.warns(DeprecationWarning, match="attrs"):
        assert result.attrs["pictures"] == 4 and result.attrs["left_out"] == ["giraffe"]
    with pytest.warns(DeprecationWarning), pytest.raises(AttributeError):
        _ = result.nothing_of_this_name
