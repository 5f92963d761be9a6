"""Killed at any moment, a writer leaves the old file or the new one, and the next run goes on."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kills import KILLS, files_of, kill_after
from llava_layouts import reference, write_original
from matplotlib.figure import Figure
from tiny import tiny_image
from tiny_vlm import tiny_vlm

from llavit_lens.disk import write_folder_atomically
from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.model.checkpoints import convert as convert_module
from llavit_lens.model.checkpoints.convert import convert
from llavit_lens.model.checkpoints.source import open_source
from llavit_lens.output import write_files
from llavit_lens.results.words import Words
from llavit_lens.studies.tables.run_result import RunResult, load_result, save_result

pytestmark = [pytest.mark.long, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]


def again_and_again(*actions: Callable[[], Any]) -> None:
    """On a slow disk: most moments are in the middle of a file."""
    Path.write_bytes = slow_write_bytes  # type: ignore[method-assign]
    Path.write_text = lambda self, text, **_: slow_write_bytes(self, text.encode())  # type: ignore[method-assign,misc]
    while True:
        for action in actions:
            action()


def slow_write_bytes(path: Path, contents: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(contents), len(contents) // 20 + 1):
            file.write(contents[start : start + len(contents) // 20 + 1])
            time.sleep(0.005)


def check_old_or_new(
    folder: Path, versions: list[Callable[[], Any]], names: list[str], kills: int, longest: float
) -> None:
    """Write two versions of some files in turn, and kill the writer again and again."""
    expected = []
    for write in versions:
        write()
        expected.append(files_of(folder))
    assert sorted(expected[0]) == sorted(names) and expected[0] != expected[1]
    chance = random.Random(kills)
    for _ in range(kills):
        assert kill_after(chance.uniform(0.01, longest), lambda: again_and_again(*versions))
        found = files_of(folder)
        for name in names:
            assert found[name] in (expected[0][name], expected[1][name])
    versions[0]()
    assert files_of(folder) == expected[0]  # and no stray


@pytest.mark.parametrize("kills", KILLS)
def test_words(tmp_path: Path, kills: int) -> None:
    words = logit_lens(tiny_vlm("llavit").trace(tiny_image()), k=40)
    others = replace(words, provenance=words.provenance | {"model": "another"})
    path = tmp_path / "w.parquet"
    versions = [lambda: words.save(path), lambda: others.save(path)]
    check_old_or_new(tmp_path, versions, ["w.parquet"], kills, 0.3)
    assert Words.load(path) == words


def tables_and_figures(folder: Path, number: int) -> dict[Path, Any]:
    figure = Figure(figsize=(2, 2))
    figure.add_subplot().plot([number, 1])
    table = pd.DataFrame({"value": np.arange(60_000) + number, "word": "word"})  # a megabyte
    contents = {"csv": table, "parquet": table, "png": figure, "pdf": figure}
    return {folder / f"t.{suffix}": content for suffix, content in contents.items()}


@pytest.mark.parametrize("kills", KILLS)
def test_tables_and_figures(tmp_path: Path, kills: int) -> None:
    first, second = (tables_and_figures(tmp_path, number) for number in (0, 5))
    versions = [lambda: write_files(first), lambda: write_files(second)]
    names = [path.name for path in first]
    check_old_or_new(tmp_path, versions, names, kills, 0.6)
    # a table that was cut off would be a valid, shorter one
    assert len(pd.read_csv(tmp_path / "t.csv")) == len(first[tmp_path / "t.csv"])


@pytest.mark.parametrize("kills", KILLS)
def test_results_of_runs(tmp_path: Path, kills: int) -> None:
    categories = ("vision_centric", "knowledge", "general", "ocr_chart")
    scenes = 5_000
    run = RunResult(
        "llavit", 0, "w", {}, 7, {f"{name}, x": [scenes, 4 * scenes] for name in categories},
        dict.fromkeys(categories, [1] * scenes), dict.fromkeys(categories, [4] * scenes),
        [[1, 2, 3]] * scenes, [3] * scenes,
    )  # fmt: skip
    other = replace(run, read=[[0, 0, 0]] * scenes)
    versions = [lambda: save_result(run, tmp_path), lambda: save_result(other, tmp_path)]
    check_old_or_new(tmp_path, versions, ["llavit-seed0.json"], kills, 0.2)
    assert load_result(tmp_path / "llavit-seed0.json") == run


@pytest.mark.parametrize("kills", KILLS)
def test_folders(tmp_path: Path, kills: int) -> None:
    target = tmp_path / "model"

    def write(version: str) -> None:
        with write_folder_atomically(target) as folder:
            for number in range(5):
                (folder / f"{number}.bin").write_text(version * 10**6)

    expected = []
    for version in "ab":
        write(version)
        expected.append(files_of(target))
    chance = random.Random(kills)
    for _ in range(kills):
        assert kill_after(
            chance.uniform(0.01, 0.2),
            lambda: again_and_again(lambda: write("a"), lambda: write("b")),
        )
        with pytest.raises(KeyError), write_folder_atomically(target):
            raise KeyError  # the next writer puts back what stands aside
        assert files_of(target) in expected
        assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kills", KILLS)
def test_convert(tmp_path: Path, kills: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_module, "SMALLEST_LIMIT", 40_000)  # several shards
    source = open_source(write_original(tmp_path / "source", reference(), suffix="safetensors"))
    monkeypatch.setattr(convert_module, "open_source", lambda *_: source)
    folder, out = tmp_path / "source", tmp_path / "out"
    began = time.monotonic()
    convert(folder, tmp_path / "undisturbed", "separate_qkv")
    took = time.monotonic() - began
    expected = files_of(tmp_path / "undisturbed")
    chance = random.Random(kills)
    killed = 0
    while killed < kills:
        killed += kill_after(chance.uniform(0, took), lambda: convert(folder, out, "separate_qkv"))
        if not out.exists() and chance.random() < 0.3:
            convert(folder, out, "separate_qkv")
        if out.exists():
            assert files_of(out) == expected
            assert not (tmp_path / "out.part").exists()
            out.rename(tmp_path / f"done-{killed}-{chance.random()}")
    convert(folder, out, "separate_qkv")
    assert files_of(out) == expected


@pytest.mark.parametrize("what", ["words", "csv", "parquet", "png", "pdf", "run"])
def test_a_disk_that_is_full_leaves_the_old_file(what: str, tmp_path: Path) -> None:
    """A limit on the size of files stands for it: writing fails in the middle."""
    words = logit_lens(tiny_vlm("llavit").trace(tiny_image()), k=40)
    contents = {path.suffix[1:]: (path, it) for path, it in tables_and_figures(tmp_path, 0).items()}

    def write() -> None:
        if what == "words":
            words.save(tmp_path / "w.parquet")
        elif what == "run":
            save_result(RunResult("v", 0, "w" * 10_000, {}, 0, {}, {}, {}, [], []), tmp_path)
        else:
            write_files(dict([contents[what]]))

    write()
    before = files_of(tmp_path)
    assert len(before) == 1
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))
        try:
            write()
        except ConfigurationError as error:
            said = "cannot write" in str(error) and "File too large" in str(error)
            os._exit(0 if said and "\n" not in str(error) else 3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert files_of(tmp_path) == before
