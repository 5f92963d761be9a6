"""Reading files from outside within limits, and writing files whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from llavit_lens.disk import (
    read_bytes,
    read_json,
    read_text,
    settle,
    shown,
    user_path,
    write_atomically,
    write_folder_atomically,
    write_text_atomically,
)
from llavit_lens.errors import CheckpointError, ConfigurationError


@pytest.mark.parametrize(
    "name", ["~nobody-of-this-name/x", "x" * 300, "a\0b", "\ud800.json", "loop"]
)
def test_a_name_that_no_file_can_have_is_one_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = name if name.startswith("~") else os.path.join(tmp_path, name)
    with pytest.raises(ConfigurationError):
        read_bytes(path)
    if name != "\ud800.json":  # a file system may have this one
        with pytest.raises(CheckpointError):
            user_path(path, error=CheckpointError)
    with pytest.raises(ConfigurationError), write_atomically(f"{path}/x"):
        pass


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.json: no such file"):
        read_json(tmp_path / "gone.json")
    with pytest.raises(CheckpointError, match="is a folder"):
        read_text(tmp_path, error=CheckpointError)
    assert user_path(tmp_path / "gone.json") == tmp_path / "gone.json"


def test_a_pipe_is_not_waited_for_and_a_device_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigurationError, match="not a regular file"):
            read_bytes(path)


def test_json_is_bounded_in_size_and_depth(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        read_json(path)
    with pytest.raises(ConfigurationError, match="larger than the limit of 10 bytes"):
        read_json(path, max_bytes=10)
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ConfigurationError, match="not text in UTF-8"):
        read_json(path)
    path.write_text("{")
    with pytest.raises(ConfigurationError, match="is no JSON"):
        read_json(path)


def test_a_name_is_shown_on_one_line() -> None:
    assert shown("a\nb\x1b[31m") == r"'a\nb\x1b[31m'"
    assert len(shown("x" * 5000)) < 400


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "words.csv"
    write_text_atomically(target, "old")
    with pytest.raises(KeyboardInterrupt), write_atomically(target) as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_write_leaves_the_old_file_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "words.csv"
    target.write_text("old")
    script = (
        "import sys, time; from llavit_lens.disk import write_atomically\n"
        "with write_atomically(sys.argv[1]) as path:\n"
        "    path.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(target)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        write_text_atomically(target, "other")  # meanwhile: it leaves the running one alone
        assert len(list(tmp_path.iterdir())) == 2
        process.send_signal(signal.SIGKILL)
    assert target.read_text() == "other"
    write_text_atomically(target, "new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask_or_the_file_that_was_there(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        new, old = tmp_path / "new", tmp_path / "old"
        old.touch()
        old.chmod(0o640)
        for target in (new, old):
            with write_atomically(target) as path:
                path.unlink()
                os.close(os.open(path, os.O_CREAT, 0o600))  # as some writers do
        assert new.stat().st_mode & 0o777 == 0o666 & ~umask
        assert old.stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_links_stay_links_and_devices_stay_devices(tmp_path: Path) -> None:
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    link.symlink_to(real)
    write_text_atomically(link, "new")
    assert link.is_symlink() and real.read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", Path("/dev/null"), tmp_path):
        with pytest.raises(ConfigurationError, match="choose another name"):
            write_text_atomically(target, "x")
    assert Path("/dev/null").is_char_device()


def test_long_names_and_suffixes(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 125 + ".csv")  # 254 bytes
    with write_atomically(target) as path:
        assert path.suffix == ".csv" and path.parent == tmp_path
        path.write_text("x")
    assert target.read_text() == "x"


def test_threads_that_write_one_file_do_not_mix(tmp_path: Path) -> None:
    target = tmp_path / "x"
    texts = [str(number) * 100_000 for number in range(4)]
    threads = [
        threading.Thread(target=write_text_atomically, args=(target, text)) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_text() in texts
    assert list(tmp_path.iterdir()) == [target]


def contents_of(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def write_version(target: Path, version: str) -> None:
    with write_folder_atomically(target) as folder:
        (folder / "weights").write_text(version * 1000)
        (folder / "inner").mkdir()
        (folder / "inner" / version).write_text(version)


def whole(version: str) -> dict[str, str]:
    return {"weights": version * 1000, f"inner/{version}": version}


def test_a_folder_takes_the_place_of_the_old_one_or_leaves_it(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt), write_folder_atomically(target) as folder:
        (folder / "config.json").write_text("half")
        raise KeyboardInterrupt
    assert not any(tmp_path.iterdir())
    write_version(target, "a")
    assert contents_of(target) == whole("a")
    full = pytest.raises(ConfigurationError, match=r"cannot write .*No space left")
    with full, write_folder_atomically(target) as folder:
        (folder / "weights").write_text("half")
        raise OSError(28, "No space left on device")
    assert contents_of(target) == whole("a")
    write_version(target, "b")
    assert contents_of(target) == whole("b")
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_folder_killed_at_any_step_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    target = tmp_path / "model"
    write_version(target, "a")
    absent = 0
    for step in range(1, 100):
        child = os.fork()
        if child == 0:
            kill_at_call(step)
            write_version(target, "b")
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        absent += not target.exists()
        with pytest.raises(KeyError), write_folder_atomically(target):
            raise KeyError  # begins, which repairs, and changes nothing
        assert contents_of(target) in (whole("a"), whole("b"))
        assert list(tmp_path.iterdir()) == [target]
        write_version(target, "a")
        if not killed:
            break
    assert 10 < step < 99 and absent == 1  # between the two renames


def kill_at_call(step: int) -> None:
    """Kill this process before the given call that changes something on the disk."""
    count = 0

    def guard(original: Any) -> Any:
        def guarded(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return guarded

    for name in ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync", "open", "chmod"):
        setattr(os, name, guard(getattr(os, name)))


def test_a_file_is_no_folder_and_a_folder_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigurationError, match="it is a file; choose another name"):
        write_version(tmp_path / "file", "a")
    assert (tmp_path / "file").read_text() == "mine"


def test_files_of_a_folder_have_the_modes_of_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with write_folder_atomically(tmp_path / "model") as folder:
            os.close(os.open(folder / "weights", os.O_CREAT, 0o600))
            (folder / "link").symlink_to("weights")
        assert (tmp_path / "model" / "weights").stat().st_mode & 0o777 == 0o640
        assert (tmp_path / "model").stat().st_mode & 0o777 == 0o750
    finally:
        os.umask(before)
    settle(tmp_path / "model")
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"weights", "link"}


def test_only_own_strays_are_removed(tmp_path: Path) -> None:
    dead = 2**22 - 1  # more than there are processes
    mine = tmp_path / f".x.csv.{dead}.0123abcd.unfinished.csv"
    others = [
        tmp_path / f".x.csv.7.{dead}.0123abcd.unfinished.csv",  # of a target x.csv.7
        tmp_path / f".x.csv.{os.getpid()}.0123abcd.unfinished.csv",  # still written
        tmp_path / ".x.csv.unfinished",
        tmp_path / "x.csv.bak",
    ]
    for path in (mine, *others):
        path.touch()
    write_text_atomically(tmp_path / "x.csv", "new")
    assert {*tmp_path.iterdir()} == {*others, tmp_path / "x.csv"}
