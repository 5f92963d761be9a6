"""A conversion stopped at any moment: nothing half written is seen, and the next run goes on."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from llava_layouts import reference, weights_of, write_original

from llavit_lens.disk import durable, write
from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.model.checkpoints import convert as convert_module
from llavit_lens.model.checkpoints import writing
from llavit_lens.model.checkpoints.convert import convert
from llavit_lens.model.checkpoints.source import open_source
from llavit_lens.vlm.load import load

pytestmark = pytest.mark.long


def files_of(folder: Path) -> dict[str, str]:
    """Names and hashes of a folder's files."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


class Killed(BaseException):
    """Stands for a kill: nothing in the code under test may catch it."""


STEPS = ((writing, "save_file"), (writing, "flush"), (durable, "flush"), (write, "flush"))


def stop_at(step: int, stop: Callable[[], Any]) -> Callable[[], None]:
    """Stop before the given step of writing (a file, a flush, a rename); returns the undoing."""
    originals: list[tuple[Any, str, Any]] = []
    count = 0

    def guard(module: Any, name: str) -> None:
        original = getattr(module, name)
        originals.append((module, name, original))

        def guarded(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                stop()
            return original(*arguments, **options)

        setattr(module, name, guarded)

    for module, name in STEPS:
        guard(module, name)
    for name in ("rename", "replace", "rmdir", "unlink", "mkdir"):
        guard(os, name)

    def undo() -> None:
        for module, name, original in originals:
            setattr(module, name, original)

    return undo


def raise_killed() -> None:
    raise Killed


def test_stopped_at_any_step_it_goes_on(
    folder: Path, tmp_path: Path, several_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(folder)  # once, for the sake of speed
    monkeypatch.setattr(convert_module, "open_source", lambda *_: source)
    convert(folder, tmp_path / "undisturbed", "separate_qkv")
    expected = files_of(tmp_path / "undisturbed")
    out = tmp_path / "out"
    # One attempt after another in the same place, each stopped one step later than the last one.
    for step in range(1, 400):
        undo = stop_at(step, raise_killed)
        try:
            convert(folder, out, "separate_qkv")
        except Killed:
            assert not out.exists() or files_of(out) == expected
        else:
            break
        finally:
            undo()
        if out.exists():  # stopped after the last rename
            break
    assert step > 20
    assert files_of(out) == expected
    assert not (tmp_path / "out.part").exists()


def test_complete_shards_are_not_written_again(
    folder: Path, tmp_path: Path, several_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = stop_at(30, raise_killed)
    with pytest.raises(Killed):
        convert(folder, tmp_path / "out", "separate_qkv")
    undo()
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("out.part/*.safetensors")}
    assert len(done) >= 2
    convert(folder, tmp_path / "out", "separate_qkv")
    assert (
        done.items() <= {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}.items()
    )


def test_another_conversion_starts_anew(folder: Path, tmp_path: Path, several_shards: None) -> None:
    """Other switches, or a source that has changed: nothing of the earlier run is kept."""
    convert(folder, tmp_path / "undisturbed", "baseline")
    undo = stop_at(30, raise_killed)
    with pytest.raises(Killed):
        convert(folder, tmp_path / "out", "separate_qkv")
    undo()
    convert(folder, tmp_path / "out", "baseline")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")

    source = write_original(tmp_path / "x", reference(), suffix="safetensors")
    undo = stop_at(20, raise_killed)
    with pytest.raises(Killed):
        convert(source, tmp_path / "again", "baseline")
    undo()
    other = reference()
    with torch.no_grad():
        other.model.language_model.norm.weight.fill_(7.0)
    write_original(tmp_path / "x", other, suffix="safetensors")
    convert(source, tmp_path / "again", "baseline")
    assert (weights_of(tmp_path / "again")["model.language_model.norm.weight"] == 7.0).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("step", [2, 9, 17, 33, 51])
def test_kill_9(step: int, folder: Path, tmp_path: Path, several_shards: None) -> None:
    child = os.fork()
    if child == 0:
        stop_at(step, lambda: os.kill(os.getpid(), signal.SIGKILL))
        convert(folder, tmp_path / "out", "separate_qkv")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (tmp_path / "out").exists() and (tmp_path / "out.part").exists()
    convert(folder, tmp_path / "out", "separate_qkv")
    convert(folder, tmp_path / "undisturbed", "separate_qkv")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")


def test_a_full_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*run again to go on"):
        convert(folder, tmp_path / "out", "baseline")
    monkeypatch.undo()
    convert(folder, tmp_path / "out", "baseline")
    assert load(tmp_path / "out").image_token_id > 0


def test_what_a_killed_run_left_does_not_reach_the_result(
    folder: Path, tmp_path: Path, several_shards: None
) -> None:
    """Whatever it is called: safetensors, too, writes to names of its own."""
    convert(folder, tmp_path / "undisturbed", "baseline")
    undo = stop_at(30, raise_killed)
    with pytest.raises(Killed):
        convert(folder, tmp_path / "out", "baseline")
    undo()
    part = tmp_path / "out.part"
    complete = [path.name for path in part.glob("*.safetensors")]
    assert complete
    (part / ".tmpAbCdEf").write_bytes(b"half a shard")
    (part / "model-00009-of-00009.safetensors").write_bytes(b"of another run")
    (part / "config.json").symlink_to(folder)
    convert(folder, tmp_path / "out", "baseline")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")
    assert folder.is_dir() and any(folder.iterdir())


@pytest.mark.parametrize("name", ["notes.txt", "scores", "config.json"])
def test_files_of_others_beside_a_killed_run_are_kept(
    name: str, folder: Path, tmp_path: Path, several_shards: None
) -> None:
    undo = stop_at(30, raise_killed)
    with pytest.raises(Killed):
        convert(folder, tmp_path / "out", "baseline")
    undo()
    mine = tmp_path / "out.part" / name
    mine.unlink(missing_ok=True)
    if name == "notes.txt":
        mine.touch()
    else:
        mine.mkdir()
    before = sorted(path.name for path in mine.parent.iterdir())
    with pytest.raises(ConfigurationError, match=f"{name}: is in the way, and no conversion"):
        convert(folder, tmp_path / "out", "separate_qkv")
    assert sorted(path.name for path in mine.parent.iterdir()) == before


def test_a_finished_conversion_is_no_remainder_of_another(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "model.part", "separate_qkv")
    before = files_of(tmp_path / "model.part")
    with pytest.raises(ConfigurationError, match=r"model\.part: is in the way.*is a finished"):
        convert(folder, tmp_path / "model", "baseline")
    assert files_of(tmp_path / "model.part") == before


def test_a_folder_that_cannot_be_flushed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush_file = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, "Invalid argument")
        flush_file(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    convert(folder, tmp_path / "out", "baseline")
    assert load(tmp_path / "out").image_token_id > 0


def test_a_link_in_place_of_a_shard_is_not_taken_for_one(
    folder: Path, tmp_path: Path, several_shards: None
) -> None:
    convert(folder, tmp_path / "undisturbed", "baseline")
    undo = stop_at(30, raise_killed)
    with pytest.raises(Killed):
        convert(folder, tmp_path / "out", "baseline")
    undo()
    shard = next((tmp_path / "out.part").glob("*.safetensors"))
    (tmp_path / "other").write_bytes(shard.read_bytes()[:-4] + b"abcd")
    shard.unlink()
    shard.symlink_to(tmp_path / "other")
    convert(folder, tmp_path / "out", "baseline")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")


def test_a_part_that_is_no_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere, part = tmp_path / "elsewhere", tmp_path / "out.part"
    elsewhere.mkdir()
    for make in (
        lambda: part.symlink_to(elsewhere),
        lambda: part.symlink_to(tmp_path / "nowhere"),
        lambda: part.write_text("mine"),
    ):
        make()
        with pytest.raises(ConfigurationError, match=r"out\.part: is in the way, and is no folder"):
            convert(folder, tmp_path / "out", "baseline")
        part.unlink()
    part.mkdir()
    (part / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="no conversion wrote it"):
        convert(folder, tmp_path / "out", "baseline")
    assert (part / "notes.txt").read_text() == "mine" and not any(elsewhere.iterdir())


def test_others_may_read_the_result(folder: Path, tmp_path: Path, several_shards: None) -> None:
    before = os.umask(0o022)
    try:
        convert(folder, tmp_path / "out", "baseline")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()}
    assert {*modes.values()} == {0o644}, modes
