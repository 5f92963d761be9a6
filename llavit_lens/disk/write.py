"""Files and folders of ours, written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from llavit_lens.disk.durable import flush, settle
from llavit_lens.disk.names import reason, refusing, shown, with_home
from llavit_lens.disk.strays import name_aside, name_beside, remove, remove_strays
from llavit_lens.errors import ConfigurationError, LlavitLensError

_DISK_FAULTS = {errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT}


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
    path = name_beside(place, Path(target).suffix)
    with refusing(error, f"cannot write {shown(target)}: {{}}"):
        remove_strays(place)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = stat.S_IMODE(path.stat().st_mode if old is None else old)
    try:
        with _blaming(target, path, error):
            yield path
        with refusing(error, f"cannot write {shown(target)}: {{}}"):
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
    path, aside = name_beside(place), name_aside(place)
    with refusing(error, f"cannot write {shown(target)}: {{}}"):
        place.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists() and old is None:
            os.rename(aside, place)
        remove(aside)
        remove_strays(place)
        path.mkdir()
    try:
        with _blaming(target, path, error):
            yield path
        with refusing(error, f"cannot write {shown(target)}: {{}}"):
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
    with refusing(error, f"cannot write {shown(target)}: {{}}"):
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
    with refusing(error, f"cannot write {shown(target)}: {{}}"):
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
