"""Files from outside, read within limits; files of ours, written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from llavit_lens.errors import ConfigurationError, LlavitLensError, one_line, printable

MAX_TEXT_BYTES = 64 * 2**20
"""Of a text or JSON file, unless the reader says otherwise."""

_UNFINISHED = ".unfinished"
_STRAY = re.compile(rf"([0-9a-f]{{8}})\.(\d+)\.[0-9a-f]{{8}}\{_UNFINISHED}(\..*)?$")
_DAY = 24 * 60 * 60
_LONGEST_SUFFIX = 20  # bytes
_BINARY = getattr(os, "O_BINARY", 0)
_DISK_FAULTS = {errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT}


def user_path(
    text: str | Path, *, what: str = "the path", error: type[LlavitLensError] = ConfigurationError
) -> Path:
    """A path as a person wrote it, with `~` replaced; nothing need be there.

    Raises:
        LlavitLensError: of the class `error`: no file can have this name, or there is no permission
            to look.
    """
    if not isinstance(text, (str, Path)):
        raise error(f"{what} is a text or a Path, not a {type(text).__name__}")
    if str(text) == "":
        raise error(f"{what} is empty; give a name")
    with _refusing(error, f"{shown(text)}: {what} cannot be used ({{}})"):
        path = with_home(text)
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    return path


def with_home(text: str | Path) -> Path:
    """A path with `~`, `~/` and `~name/` replaced; `~t.png` and a folder `~t` are taken as such."""
    path = Path(text)
    first = Path(*path.parts[:1])
    literal = first.name != "~" and (len(path.parts) == 1 or first.exists())
    return path if literal else path.expanduser()


def is_web_address(path: str | Path) -> bool:
    """Whether a name is a web address, as text or as a `Path`."""
    return re.match(r"(?i)(https?|ftp|s3|gs|hf):/", str(path)) is not None


def shown(path: str | Path) -> str:
    """A path as a message can show it: without what no terminal prints, and not endless."""
    return printable(str(path)) or "''"


@contextmanager
def _refusing(error: type[LlavitLensError], message: str) -> Iterator[None]:
    """Turn what a path can be wrong in into one error; the last `{}` of the message is the
    reason."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError) as cause:  # a NUL, ~nobody, None, …
        before, _, after = message.rpartition("{}")  # names, too, may have braces
        raise error(f"{before}{reason(cause)}{after}") from cause


def reason(cause: Exception) -> str:
    """What an error of the system says, on one line."""
    return getattr(cause, "strerror", None) or one_line(cause)


def read_bytes(
    path: str | Path,
    *,
    max_bytes: int = MAX_TEXT_BYTES,
    error: type[LlavitLensError] = ConfigurationError,
) -> bytes:
    """The bytes of a regular file of at most `max_bytes`.

    Raises:
        LlavitLensError: of the class `error`: there is no such file, it is a folder, a pipe or a
            device (which could block or never end), it is too large, or it cannot be read.
    """
    _, handle = _open_file(path, error)
    with os.fdopen(handle, "rb") as file, _refusing(error, f"{shown(path)}: cannot be read ({{}})"):
        too_large = os.fstat(handle).st_size > max_bytes
        # some files, as in /proc, do not tell their size
        data = b"" if too_large else file.read(max_bytes + 1)
    if too_large or len(data) > max_bytes:
        raise error(f"{shown(path)}: larger than the limit of {max_bytes} bytes")
    return data


def check_file(path: str | Path, *, error: type[LlavitLensError] = ConfigurationError) -> Path:
    """The path of a regular file that can be read; nothing is read yet.

    Raises:
        LlavitLensError: of the class `error`: as `read_bytes`, but for its size.
    """
    place, handle = _open_file(path, error)
    os.close(handle)
    return place


def _open_file(path: str | Path, error: type[LlavitLensError]) -> tuple[Path, int]:
    """The path and a handle of a regular file: what is opened is what was checked."""
    name = shown(path)
    if not str(path):
        raise error("there is no file name")
    with _refusing(error, f"{name}: cannot be read ({{}})"):
        place = with_home(path)
        try:
            # a pipe is opened at once, without waiting for its writer
            handle = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise error(_missing(place, path, name)) from cause
        except OSError as cause:
            if cause.errno != errno.ENXIO:
                raise
            raise error(f"{name}: is not a regular file") from cause  # a socket
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        folder = stat.S_ISDIR(mode)
        raise error(f"{name}: is {'a folder, not a file' if folder else 'not a regular file'}")
    return place, handle


def _missing(place: Path, path: str | Path, name: str) -> str:
    if is_web_address(path):
        name = re.sub(":/+", "://", name, count=1)  # `Path` leaves one slash of the two
        return f"{name}: web addresses are not opened; download it first"
    return f"{name}: {'is a link that leads nowhere' if place.is_symlink() else 'no such file'}"


def has_file(path: str | Path, *, error: type[LlavitLensError] = ConfigurationError) -> bool:
    """Whether anything is there; if so, it is a regular file that can be read.

    Raises:
        LlavitLensError: of the class `error`: it is something else, or there is no permission to
            look.
    """
    with _refusing(error, f"{shown(path)}: cannot be read ({{}})"):
        try:
            Path(path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
    check_file(path, error=error)
    return True


def read_text(
    path: str | Path,
    *,
    max_bytes: int = MAX_TEXT_BYTES,
    error: type[LlavitLensError] = ConfigurationError,
) -> str:
    """The text of a file in UTF-8.

    Raises:
        LlavitLensError: as `read_bytes`; the file is not in UTF-8.
    """
    try:
        return read_bytes(path, max_bytes=max_bytes, error=error).decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(f"{shown(path)}: is not text in UTF-8 ({cause.reason})") from cause


def read_json(
    path: str | Path,
    *,
    max_bytes: int = MAX_TEXT_BYTES,
    error: type[LlavitLensError] = ConfigurationError,
) -> Any:
    """What a JSON file holds.

    Raises:
        LlavitLensError: as `read_text`; the file is no JSON, or nested too deeply.
    """
    text = read_text(path, max_bytes=max_bytes, error=error)
    try:
        return json.loads(text)
    except RecursionError as cause:
        raise error(f"{shown(path)}: its JSON is nested too deeply") from cause
    except ValueError as cause:
        raise error(f"{shown(path)}: is no JSON ({one_line(cause)})") from cause


def check_target(target: str | Path, *, error: type[LlavitLensError] = ConfigurationError) -> Path:
    """Where `write_atomically` would write, links followed; nothing is written yet.

    Raises:
        LlavitLensError: of the class `error`: the target is no regular file, is write-protected, or
            there is no permission to look.
    """
    return _place(target, stat.S_ISREG, error)[0]


@contextmanager
def write_atomically(
    target: str | Path, *, error: type[LlavitLensError] = ConfigurationError
) -> Iterator[Path]:
    """A path to write to, beside `target`: it takes the target's place when the block has ended.

        with write_atomically(out) as path:
            figure.savefig(path)

    The target is never seen half written, and what was there stays if the block fails or the
    process is killed. The path ends as the target does, for writers that go by the suffix. A link
    stays a link: the file that it points to is replaced. The mode is that of the file that was
    there, or of a new file. The folder must be writable too, even to replace a file.

    Raises:
        LlavitLensError: of the class `error`: the target is no regular file, or cannot be written.
            Errors of the block that are not of this file pass unchanged.
    """
    place, old = _place(target, stat.S_ISREG, error)
    path = _beside(place, Path(target).suffix)
    with _refusing(error, f"cannot write {shown(target)}: {{}}"):
        _remove_strays(place)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = stat.S_IMODE(path.stat().st_mode if old is None else old)
    try:
        with _blaming(target, path, error):
            yield path
        with _refusing(error, f"cannot write {shown(target)}: {{}}"):
            with suppress(PermissionError):  # file systems without modes
                path.chmod(mode)  # some writers make a file of their own, for its owner alone
            flush(path)
            os.replace(path, place)
        flush(place.parent)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def write_folder_atomically(
    target: str | Path, *, error: type[LlavitLensError] = ConfigurationError
) -> Iterator[Path]:
    """A new folder beside `target`: it takes the target's place when the block has ended.

        with write_folder_atomically(out) as folder:
            model.save_pretrained(folder)

    A folder that was there stays until then, and is then deleted with all that is in it, whoever
    put it there. Where the process is killed between the two renames, the next call puts it back.
    Files have the modes of new files.

    Raises:
        LlavitLensError: of the class `error`: the target is no folder, or cannot be written.
            Errors of the block that are not of this folder pass unchanged.
    """
    place, old = _place(target, stat.S_ISDIR, error)
    path, aside = _beside(place), place.with_name(f"{_stray_prefix(place)}replaced")
    with _refusing(error, f"cannot write {shown(target)}: {{}}"):
        place.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists() and old is None:
            os.rename(aside, place)
        remove(aside)
        _remove_strays(place)
        path.mkdir()
    try:
        with _blaming(target, path, error):
            yield path
        with _refusing(error, f"cannot write {shown(target)}: {{}}"):
            settle(path)
            if place.exists():
                os.rename(place, aside)
            os.rename(path, place)
            flush(place.parent)
            remove(aside)
    finally:
        remove(path)


def write_text_atomically(
    target: str | Path, text: str, *, error: type[LlavitLensError] = ConfigurationError
) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        LlavitLensError: as `write_atomically`; the text has half of a surrogate pair.
    """
    with _refusing(error, f"cannot write {shown(target)}: {{}}"):
        contents = text.encode("utf-8")
    with write_atomically(target, error=error) as path:
        path.write_bytes(contents)


@contextmanager
def _blaming(target: str | Path, path: Path, error: type[LlavitLensError]) -> Iterator[None]:
    """Report errors of writing to `path`, or below it, as such of the target."""
    try:
        yield
    except (OSError, SafetensorError) as cause:
        number, name = getattr(cause, "errno", None), getattr(cause, "filename", None)
        ours = isinstance(name, (str, Path)) and Path(name).is_relative_to(path)
        if not (ours or number in _DISK_FAULTS or isinstance(cause, SafetensorError)):
            raise
        raise error(f"cannot write {shown(target)}: {reason(cause)}") from cause


def _place(
    target: str | Path, is_right: Callable[[int], bool], error: type[LlavitLensError]
) -> tuple[Path, int | None]:
    """Where to write, links followed, and the mode of what is there."""
    old = None
    with _refusing(error, f"cannot write {shown(target)}: {{}}"):
        place = with_home(target).resolve()
        with suppress(FileNotFoundError):
            old = place.stat().st_mode
    if old is not None and not is_right(old):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
        kind = kinds.get(stat.S_IFMT(old), "not a regular file")
        raise error(f"cannot write {shown(target)}: it is {kind}; choose another name")
    effective = os.access in os.supports_effective_ids
    if old is not None and not os.access(place, os.W_OK, effective_ids=effective):
        raise error(f"cannot write {shown(target)}: it is write-protected; choose another name")
    return place, old


def settle(folder: Path) -> None:
    """Give all files in a folder of ours the modes of new files, and wait for the disk.

    Some writers make files for the owner alone. Links are left alone, as what they lead to.
    """
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o666
    for root, _, names in os.walk(folder):
        for path in (Path(root, name) for name in names):
            if stat.S_ISREG(path.lstat().st_mode):
                with suppress(PermissionError):  # file systems without modes
                    path.chmod(mode)
                flush(path)
        flush(Path(root))


def new_file_mode(folder: Path) -> int:
    """The mode of a new file in a folder: a file has to be made, as to ask for the umask is to
    change it."""
    probe = _beside(folder / "mode")
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL, 0o666))
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    return mode


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that no name outlives its contents.

    Not all file systems and permissions let a folder be flushed; its names are written even so.
    """
    if os.name != "posix":  # elsewhere, neither is opened for this
        return
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        if not path.is_dir():
            raise


def remove(path: Path) -> None:
    """Delete a file, a link or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether a killed process left this file or folder, or a running one still writes it."""
    return _STRAY.search(path.name) is not None


def _beside(place: Path, suffix: str = "") -> Path:
    """A new name beside a target that says who writes there."""
    writer = f"{_machine()}.{os.getpid()}.{secrets.token_hex(4)}"
    end = suffix if len(os.fsencode(suffix)) <= _LONGEST_SUFFIX else ""
    return place.with_name(f"{_stray_prefix(place)}{writer}{_UNFINISHED}{end}")


def _stray_prefix(target: Path) -> str:
    """Of the names beside a target, and of no other; a file name has at most 255 bytes."""
    name = os.fsencode(target.name)
    if len(name) <= 150:
        return f".{target.name}."
    digest = hashlib.blake2b(name, digest_size=4).hexdigest()
    return f".{name[:140].decode(errors='ignore')}-{digest}."


def _remove_strays(target: Path) -> None:
    """Delete what killed processes left beside the target, where that is allowed."""
    prefix = _stray_prefix(target)
    with suppress(OSError):
        for entry in target.parent.iterdir():
            stray = _STRAY.fullmatch(entry.name.removeprefix(prefix))
            if entry.name.startswith(prefix) and stray and _is_left(entry, *stray.group(1, 2)):
                remove(entry)


def _is_left(entry: Path, machine: str, process: str) -> bool:
    """Whether nobody writes there any more; of processes elsewhere only the time can tell."""
    if machine == _machine():
        return not _is_running(int(process))
    return time.time() - entry.stat().st_mtime > _DAY


@cache
def _machine() -> str:
    """8 hex digits for all processes among which a process number means one process.

    Hosts share folders, and containers have numbers of their own.
    """
    parts = [os.fsencode(platform.node())]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_bytes())
        parts.append(os.fsencode(os.readlink("/proc/self/ns/pid")))
    return hashlib.blake2b(b"".join(parts), digest_size=4).hexdigest()


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere there is no way to ask without harm
        return True
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
