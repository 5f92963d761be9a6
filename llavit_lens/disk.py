"""Files from outside, read within limits; files of ours, written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from llavit_lens.errors import ConfigurationError, LlavitLensError, one_line

MAX_TEXT_BYTES = 64 * 2**20
"""Of a text or JSON file, unless the reader says otherwise."""

_UNFINISHED = ".unfinished"
_STRAY = re.compile(rf"(\d+)\.[0-9a-f]{{8}}\{_UNFINISHED}(\..*)?$")


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
    try:
        path = _with_home(text)
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, ValueError, RuntimeError) as cause:  # ~nobody, a NUL, a name too long, …
        raise error(f"{shown(text)}: {what} cannot be used ({_reason(cause)})") from cause
    return path


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
    place = check_file(path, error=error)
    try:
        too_large = place.stat().st_size > max_bytes
        with place.open("rb") as file:  # some files, as in /proc, do not tell their size
            data = b"" if too_large else file.read(max_bytes + 1)
    except OSError as cause:
        raise error(f"{shown(path)}: cannot be read ({_reason(cause)})") from cause
    if too_large or len(data) > max_bytes:
        raise error(f"{shown(path)}: larger than the limit of {max_bytes} bytes")
    return data


def check_file(path: str | Path, *, error: type[LlavitLensError] = ConfigurationError) -> Path:
    """The path of a regular file that can be read; nothing is read yet.

    Raises:
        LlavitLensError: of the class `error`: as `read_bytes`, but for its size.
    """
    name = shown(path)
    if not str(path):
        raise error("there is no file name")
    try:
        place = _with_home(path)
        mode = place.stat().st_mode
        if stat.S_ISREG(mode):
            place.open("rb").close()
    except (FileNotFoundError, NotADirectoryError) as cause:
        if is_web_address(path):
            name = re.sub(":/+", "://", name, count=1)  # `Path` leaves one slash of the two
            raise error(f"{name}: web addresses are not opened; download it first") from cause
        said = "is a link that leads nowhere" if place.is_symlink() else "no such file"
        raise error(f"{name}: {said}") from cause
    except (OSError, ValueError, RuntimeError, TypeError) as cause:
        raise error(f"{name}: cannot be read ({_reason(cause)})") from cause
    if stat.S_ISDIR(mode):
        raise error(f"{name}: is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise error(f"{name}: is not a regular file")
    return place


def has_file(path: str | Path, *, error: type[LlavitLensError] = ConfigurationError) -> bool:
    """Whether anything is there; if so, it is a regular file that can be read.

    Raises:
        LlavitLensError: of the class `error`: it is something else, or there is no permission to
            look.
    """
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as cause:
        raise error(f"{shown(path)}: cannot be read ({_reason(cause)})") from cause
    check_file(path, error=error)
    return True


def is_web_address(path: str | Path) -> bool:
    """Whether a name is a web address, as text or as a `Path`."""
    return re.match(r"(?i)(https?|ftp|s3|gs|hf):/", str(path)) is not None


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
    there, or of a new file.

    Raises:
        LlavitLensError: of the class `error`: the target is no regular file, or cannot be written.
    """
    place, old = _place(target, stat.S_ISREG, error)
    path = _beside(place)
    try:
        _remove_strays(place)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = stat.S_IMODE(path.stat().st_mode if old is None else old)
    except OSError as cause:
        raise _not_written(target, cause, error) from cause
    try:
        yield path
        path.chmod(mode)  # some writers make a file of their own, for its owner alone
        flush(path)
        os.replace(path, place)
        flush(place.parent)
    except (OSError, SafetensorError) as cause:
        raise _not_written(target, cause, error) from cause
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def write_folder_atomically(
    target: str | Path, *, error: type[LlavitLensError] = ConfigurationError
) -> Iterator[Path]:
    """A new folder beside `target`: it takes the target's place when the block has ended.

        with write_folder_atomically(out) as folder:
            model.save_pretrained(folder)

    A folder that was there stays until then. Where the process is killed between the two renames,
    the next call puts it back. Files have the modes of new files.

    Raises:
        LlavitLensError: of the class `error`: the target is no folder, or cannot be written.
    """
    place, old = _place(target, stat.S_ISDIR, error)
    path, aside = _beside(place), place.with_name(f"{_stray_prefix(place)}replaced")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists() and old is None:
            os.rename(aside, place)
        remove(aside)
        _remove_strays(place)
        path.mkdir()
    except OSError as cause:
        raise _not_written(target, cause, error) from cause
    try:
        yield path
        settle(path)
        if place.exists():
            os.rename(place, aside)
        os.rename(path, place)
        flush(place.parent)
        remove(aside)
    except (OSError, SafetensorError) as cause:
        raise _not_written(target, cause, error) from cause
    finally:
        remove(path)


def write_text_atomically(
    target: str | Path, text: str, *, error: type[LlavitLensError] = ConfigurationError
) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        LlavitLensError: as `write_atomically`.
    """
    with write_atomically(target, error=error) as path:
        path.write_text(text, encoding="utf-8")


def settle(folder: Path) -> None:
    """Give all files in a folder the modes of new files, and wait until they are on the disk."""
    follow_umask(folder)
    for root, _, names in os.walk(folder):
        for name in names:
            flush(Path(root, name))
        flush(Path(root))


def follow_umask(folder: Path, pattern: str = "**/*") -> None:
    """Give files in a folder the modes of new files: some writers make them for the owner only."""
    probe = _beside(folder / "mode")
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL, 0o666))  # to ask for the umask is to change it
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for path in folder.glob(pattern):
        if path.is_file() and not path.is_symlink():
            with suppress(PermissionError):  # the file of another user
                path.chmod(mode)


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that no name outlives its contents."""
    if os.name != "posix":  # elsewhere, neither is opened for this
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Delete a file, a link or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether a killed process left this file or folder, or a running one still writes it."""
    return _STRAY.search(path.name) is not None


def shown(path: str | Path) -> str:
    """A path as a message can show it: without what no terminal prints, and not endless."""
    text = str(path)
    if not text or not text.isprintable():
        text = ascii(text)
    return text if len(text) <= 300 else f"{text[:300]}…"


def check_target(target: str | Path, *, error: type[LlavitLensError] = ConfigurationError) -> Path:
    """Where `write_atomically` would write, links followed; nothing is written yet.

    Raises:
        LlavitLensError: of the class `error`: the target is no regular file, or there is no
            permission to look.
    """
    return _place(target, stat.S_ISREG, error)[0]


def _with_home(text: str | Path) -> Path:
    """A path with `~`, `~/` and `~name/` replaced; `~t.png` and a folder `~t` are taken as such."""
    path = Path(text)
    first = Path(*path.parts[:1])
    literal = first.name != "~" and (len(path.parts) == 1 or first.exists())
    return path if literal else path.expanduser()


def _place(
    target: str | Path, is_right: Callable[[int], bool], error: type[LlavitLensError]
) -> tuple[Path, int | None]:
    """Where to write, links followed, and the mode of what is there."""
    old = None
    try:
        place = _with_home(target).resolve()
        with suppress(FileNotFoundError):
            old = place.stat().st_mode
    except (OSError, ValueError, RuntimeError) as cause:  # ~nobody, a NUL, a name too long, …
        raise _not_written(target, cause, error) from cause
    if old is not None and not is_right(old):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
        kind = kinds.get(stat.S_IFMT(old), "not a regular file")
        raise error(f"cannot write {shown(target)}: it is {kind}; choose another name")
    return place, old


def _beside(place: Path) -> Path:
    """A new name beside a target that says who writes there."""
    name = f"{_stray_prefix(place)}{os.getpid()}.{secrets.token_hex(4)}{_UNFINISHED}{place.suffix}"
    return place.with_name(name)


def _stray_prefix(target: Path) -> str:
    """Of the names beside a target; a file name has at most 255 bytes."""
    return f".{os.fsencode(target.name)[:150].decode(errors='ignore')}."


def _remove_strays(target: Path) -> None:
    """Delete what killed processes left beside the target, where that is allowed."""
    prefix = _stray_prefix(target)
    with suppress(OSError):
        for entry in target.parent.iterdir():
            stray = _STRAY.fullmatch(entry.name.removeprefix(prefix))
            if entry.name.startswith(prefix) and stray and not _is_running(int(stray[1])):
                remove(entry)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere there is no way to ask without harm
        return True
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True


def _not_written(
    target: str | Path, cause: Exception, error: type[LlavitLensError]
) -> LlavitLensError:
    return error(f"cannot write {shown(target)}: {_reason(cause)}")


def _reason(cause: Exception) -> str:
    return getattr(cause, "strerror", None) or one_line(cause)
