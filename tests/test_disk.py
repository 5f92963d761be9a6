"""Reading files from outside within limits, and writing files whole or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import tracemalloc
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


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "{}\0", "\ud800.json", "loop"])
def test_a_name_that_no_file_can_have_is_one_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = os.path.join(tmp_path, name)
    with pytest.raises(ConfigurationError) as caught:
        read_bytes(path)
    assert shown(path) in str(caught.value)
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
    assert shown("a\nb\x1b[31m") == r"a\nb\x1b[31m"
    assert shown("日本\u3000語") == r"日本\u3000語" and shown("") == "''"
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


@pytest.mark.long
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


def stray(tmp_path: Path, machine: str, process: int) -> Path:
    path = tmp_path / f".x.csv.{machine}.{process}.0123abcd.unfinished.csv"
    path.touch()
    return path


def test_only_own_strays_are_removed(tmp_path: Path) -> None:
    with write_atomically(tmp_path / "x.csv") as path:
        machine = path.name.split(".")[3]
    dead = 2**22 - 1  # more than there are processes
    mine, old = stray(tmp_path, machine, dead), stray(tmp_path, "89abcdef", dead)
    os.utime(old, (0, 0))
    others = [
        stray(tmp_path, f"01234567.{machine}", dead),  # of a target x.csv.01234567
        stray(tmp_path, machine, os.getpid()),  # still written
        stray(tmp_path, "89abcdef", dead - 1),  # perhaps still written, on another host
        tmp_path / ".x.csv.unfinished",
        tmp_path / "x.csv.bak",
    ]
    for path in others:
        path.touch()
    write_text_atomically(tmp_path / "x.csv", "new")
    assert not mine.exists() and not old.exists()
    assert {*tmp_path.iterdir()} == {*others, tmp_path / "x.csv"}


def test_a_writer_elsewhere_is_not_disturbed(tmp_path: Path) -> None:
    """In a container, process numbers begin again: that of the writer is not known here."""
    script = (
        "import sys, time; from llavit_lens.disk import write_atomically\n"
        "with write_atomically(sys.argv[1]) as path:\n"
        "    print('writing', flush=True); time.sleep(60)\n"
    )
    unshare = shutil.which("unshare")
    command = [unshare or "", "--pid", "--fork", "--kill-child", sys.executable, "-c", script]
    with subprocess.Popen(
        [*command, str(tmp_path / "x")] if unshare else ["false"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        if process.stdout.readline() != "writing\n":
            pytest.skip("no container can be made here")
        before = {*tmp_path.iterdir()}
        write_text_atomically(tmp_path / "x", "other")
        assert {*tmp_path.iterdir()} == before | {tmp_path / "x"} and len(before) == 1
        process.kill()


@pytest.mark.parametrize("place", ["store/blob", "store/x.pdf"])
@pytest.mark.parametrize("name", ["out.csv", "out.png"])
def test_a_link_is_written_as_its_own_name_says(name: str, place: str, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / name).symlink_to(place)
    with write_atomically(tmp_path / name) as path:
        assert path.suffix == Path(name).suffix
        path.write_text("new")
    assert (tmp_path / place).read_text() == "new" and (tmp_path / name).is_symlink()


def test_folders_whose_long_names_begin_alike_are_kept_apart(tmp_path: Path) -> None:
    first, second = (tmp_path / ("ä" * 100 + end) for end in "ab")
    write_version(first, "a")
    aside: list[str] = []
    rename = os.rename

    def killed(source: Any, target: Any) -> None:
        if aside:
            raise KeyboardInterrupt
        aside.append(str(target))
        rename(source, target)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "rename", killed)
        write_version(first, "b")
    assert not first.exists()
    write_version(second, "c")
    with pytest.raises(KeyError), write_folder_atomically(first):
        raise KeyError
    assert contents_of(first) == whole("a") and contents_of(second) == whole("c")


def test_a_folder_is_replaced_with_all_that_is_in_it(tmp_path: Path) -> None:
    write_version(tmp_path / "model", "a")
    (tmp_path / "model" / "notes.txt").touch()
    write_version(tmp_path / "model", "b")
    assert contents_of(tmp_path / "model") == whole("b")
    assert "all that is in it" in " ".join((write_folder_atomically.__doc__ or "").split())


def test_a_folder_that_cannot_be_flushed_and_a_mode_that_cannot_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush_file = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(22, "Invalid argument")
        flush_file(handle)

    def chmod(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "chmod", chmod)
    write_text_atomically(tmp_path / "x", "new")
    write_version(tmp_path / "model", "a")
    assert (tmp_path / "x").read_text() == "new" and contents_of(tmp_path / "model") == whole("a")

    def broken(handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(ConfigurationError, match=r"cannot write .*Input/output error"):
        write_text_atomically(tmp_path / "x", "newer")
    assert (tmp_path / "x").read_text() == "new"


def test_what_is_write_protected_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system says it: root may write everything."""
    (tmp_path / "x").write_text("mine")
    (tmp_path / "x").chmod(0o444)
    monkeypatch.setattr(os, "access", lambda path, *_, **__: bool(os.stat(path).st_mode & 0o200))
    with pytest.raises(ConfigurationError, match="x: it is write-protected"):
        write_text_atomically(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "mine" and len([*tmp_path.iterdir()]) == 1


def test_a_long_suffix(tmp_path: Path) -> None:
    target = tmp_path / ("x." + "y" * 250)
    write_text_atomically(target, "new")
    assert target.read_text() == "new"


def test_links_and_pipes_in_a_folder_are_let_be(tmp_path: Path) -> None:
    with write_folder_atomically(tmp_path / "model") as folder:
        (folder / "nowhere").symlink_to("gone")
        os.mkfifo(folder / "pipe")
    assert (tmp_path / "model" / "nowhere").is_symlink()


def test_wrong_types_are_one_error(tmp_path: Path) -> None:
    nothing: Any = None
    with pytest.raises(ConfigurationError, match="cannot write None"):
        write_text_atomically(nothing, "x")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_bytes(nothing)
    with pytest.raises(ConfigurationError, match=r"cannot write .*x: .*surrogates not allowed"):
        write_text_atomically(tmp_path / "x", "\ud800")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("writer", [write_atomically, write_folder_atomically])
def test_errors_of_something_else_pass_unchanged(writer: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writer(tmp_path / "x"):
        (tmp_path / "gone").read_bytes()
    with pytest.raises(ConnectionError), writer(tmp_path / "x"):
        raise ConnectionError("no network")
    with pytest.raises(ConfigurationError, match="cannot write"), writer(tmp_path / "x") as path:
        (path / "inner").read_bytes()
    assert not any(tmp_path.iterdir())


def test_a_file_that_becomes_a_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: os.stat(tmp_path / "file"))
    script = threading.Thread(target=read_refused, args=(tmp_path / "pipe",), daemon=True)
    script.start()
    script.join(5)
    assert not script.is_alive()


def read_refused(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a regular file"):
        read_bytes(path)


def test_a_socket_and_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(ConfigurationError, match="link: is a link that leads nowhere"):
        read_bytes(tmp_path / "link")
    with socket.socket(socket.AF_UNIX) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        server.bind("socket")
        with pytest.raises(ConfigurationError, match="not a regular file"):
            read_bytes("socket")


def test_reading_takes_the_memory_of_the_file_and_not_of_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "small.json"
    path.write_text("{}")
    tracemalloc.start()
    try:
        assert read_json(path, max_bytes=2**31) == {}
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert b"MemTotal" in read_bytes("/proc/meminfo")  # whose size is said to be 0
