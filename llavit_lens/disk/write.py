"""Writing files and folders whole or not at all."""

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
    """Where `write_atomically` would write, with links followed; nothing is written yet.

    Raises:
        LlavitLensError: of the class `error`: the target is no regular file, is write-protected, or
            there is no permission to look.
    """
    return _resolved(target, stat.S_ISREG, error)[0]


@contextmanager
def write_atomically(
    target: str | Path, *, error: type[LlavitLensError] = ConfigurationError
) -> Iterator[Path]:
    """A path to write to, beside `target`: it takes the target's place when the block has ended.

        with write_atomically(out) as path:
            figure.savefig(path)

    The target is never half written, and the old file stays if the block fails or the process is
    killed. The path has the target's suffix, for writers that go by it. A link stays a link: the
    file that it points to is replaced. The mode is that of the old file, or of a new file. The
    folder must be writable too, even to replace a file.

    Raises:
        LlavitLensError: of the class `error`: the target is no regular file, or cannot be written.
            Other errors of the block pass unchanged.
    """
    target_path, old = _resolved(target, stat.S_ISREG, error)
    path = name_beside(target_path, Path(target).suffix)
    with refusing(error, f"cannot write {shown(target)}: {{}}"):
        remove_strays(target_path)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        mode = stat.S_IMODE(path.stat().st_mode if old is None else old)
    try:
        with _blaming(target, path, error):
            yield path
        with refusing(error, f"cannot write {shown(target)}: {{}}"):
            with suppress(PermissionError):  # file systems without modes
                path.chmod(mode)  # some writers make a new file that only its owner can read
            flush(path)
            os.replace(path, target_path)
        flush(target_path.parent)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def write_folder_atomically(
    target: str | Path, *, error: type[LlavitLensError] = ConfigurationError
) -> Iterator[Path]:
    """A new folder beside `target`: it takes the target's place when the block has ended.

        with write_folder_atomically(out) as folder:
            model.save_pretrained(folder)

    The old folder stays until then, and is then deleted with all that is in it. If the process is
    killed between the two renames, the next call restores it. Files have the modes of new files.

    Raises:
        LlavitLensError: of the class `error`: the target is no folder, or cannot be written.
            Other errors of the block pass unchanged.
    """
    target_path, old = _resolved(target, stat.S_ISDIR, error)
    path, aside = name_beside(target_path), name_aside(target_path)
    with refusing(error, f"cannot write {shown(target)}: {{}}"):
        target_path.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists() and old is None:
            os.rename(aside, target_path)
        remove(aside)
        remove_strays(target_path)
        path.mkdir()
    try:
        with _blaming(target, path, error):
            yield path
        with refusing(error, f"cannot write {shown(target)}: {{}}"):
            settle(path)
            if target_path.exists():
                os.rename(target_path, aside)
            os.rename(path, target_path)
            flush(target_path.parent)
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
    """Report errors of writing to `path`, or below it, as errors of the target."""
    try:
        yield
    except (OSError, SafetensorError) as cause:
        number, name = getattr(cause, "errno", None), getattr(cause, "filename", None)
        is_ours = isinstance(name, (str, Path)) and Path(name).is_relative_to(path)
        if not (is_ours or number in _DISK_FAULTS or isinstance(cause, SafetensorError)):
            raise
        raise error(f"cannot write {shown(target)}: {reason(cause)}") from cause


def _resolved(
    target: str | Path, is_right: Callable[[int], bool], error: type[LlavitLensError]
) -> tuple[Path, int | None]:
    """Where to write, with links followed, and the mode of the old file or folder, if any."""
    old = None
    with refusing(error, f"cannot write {shown(target)}: {{}}"):
        target_path = with_home(target).resolve()
        with suppress(FileNotFoundError):
            old = target_path.stat().st_mode
    if old is not None and not is_right(old):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
        kind = kinds.get(stat.S_IFMT(old), "not a regular file")
        raise error(f"cannot write {shown(target)}: it is {kind}; choose another name")
    effective = os.access in os.supports_effective_ids
    if old is not None and not os.access(target_path, os.W_OK, effective_ids=effective):
        raise error(f"cannot write {shown(target)}: it is write-protected; choose another name")
    return target_path, old
