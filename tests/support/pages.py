"""Markdown pages as programs: their blocks in order, what these print and are said to print.

A block is fenced, by ```python or ```sh. All of a page run from top to bottom in one process, so
that Python has one namespace, in an empty folder. A block whose first line is `# needs …` is not
run. A ```text block that follows directly is what the block before it prints (on stdout).
"""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NEEDS = re.compile(r"^Needs: (.+)$", re.MULTILINE)
_DECIMAL = r"[-+−]?\d+\.\d+"
_MARK = "\0"  # no block prints it


@dataclass(frozen=True)
class Block:
    """One piece of a page.

    Attributes:
        line: of its fence, from 1.
        language: python or sh.
        body: its lines.
        prints: what the page says it prints; None where it says nothing.
    """

    line: int
    language: str
    body: str
    prints: str | None

    @property
    def runs(self) -> bool:
        return not self.body.startswith("# needs ")


def blocks_of(page: str) -> list[Block]:
    """The Python and shell blocks of a page."""
    blocks = []
    fenced = list(_FENCED.finditer(page))
    for number, found in enumerate(fenced):
        after = fenced[number + 1] if number + 1 < len(fenced) else None
        if found[1] not in ("python", "sh"):
            continue
        follows = after is not None and not page[found.end() : after.start()].strip()
        prints = after[2] if after is not None and follows and after[1] == "text" else None
        line = page.count("\n", 0, found.start()) + 1
        blocks.append(Block(line, found[1], found[2], prints))
    return blocks


def needed(page: str) -> list[str]:
    """The packages that a page names in a line `Needs: a, b`."""
    found = _NEEDS.search(page)
    return [] if found is None else re.split(r"[,\s]+", found[1].strip())


def program(page: str) -> str:
    """The blocks that run, each on the lines where it stands in the page."""
    lines = [""] * (page.count("\n") + 2)
    lines[0] = "import pages as _pages"
    for block in filter(lambda one: one.runs, blocks_of(page)):
        body = block.body.splitlines()
        if block.language == "sh":
            lines[block.line - 1] = f"_pages.shell({block.line}, {block.body!r})"
            continue
        lines[block.line - 1] = f"_pages.mark({block.line})"
        lines[block.line : block.line + len(body)] = body
    return "\n".join(lines) + "\n"


def run(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a page in a folder, from a file: nnsight reads the source of what it runs."""
    script = folder / "page.py"
    script.write_text(program(page))
    paths = [str(ROOT), str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "COLUMNS": "100",
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "Agg",
        "NO_COLOR": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONUTF8": "1",
    }
    return subprocess.run(
        [sys.executable, script.name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def printed(stdout: str) -> dict[int, str]:
    """What each block printed, by its line."""
    pieces = (piece.partition("\n") for piece in stdout.split(_MARK)[1:])
    return {int(line): text for line, _, text in pieces}


def faults(page: str, stdout: str) -> list[str]:
    """Blocks that printed something else than the page says."""
    got = printed(stdout)
    return [
        f"line {block.line} prints\n{got.get(block.line, '')}\nand the page says\n{block.prints}"
        for block in blocks_of(page)
        if block.runs and block.prints is not None
        if not same(block.prints, got.get(block.line, ""))
    ]


def same(says: str, prints: str) -> bool:
    """Whether a text is what was printed.

    `...` stands for anything, and white space for any other. Numbers with a decimal point may
    differ by two of their last digit, since machines round differently; all others are literal.
    """
    pattern = ""
    for piece in re.split(rf"(\s+|\.\.\.|{_DECIMAL})", says.strip()):
        if piece == "...":
            pattern += ".*?"
        elif not piece.strip():
            pattern += r"\s+" if piece else ""
        elif re.fullmatch(_DECIMAL, piece):
            pattern += f"({_DECIMAL})"
        else:
            pattern += re.escape(piece)
    found = re.fullmatch(pattern, prints.strip(), re.DOTALL)
    if found is None:
        return False
    numbers = re.findall(_DECIMAL, says)
    return all(_near(said, got) for said, got in zip(numbers, found.groups(), strict=True))


def _near(said: str, got: str) -> bool:
    digits = len(said.partition(".")[2])
    number, other = (float(text.replace("−", "-")) for text in (said, got))
    return abs(number - other) < 2.5 * 10**-digits


# ---- called by the program of a page ---------------------------------------------------------


def mark(line: int) -> None:
    """What is printed from here on is of the block on this line."""
    print(f"{_MARK}{line}", flush=True)


def shell(line: int, commands: str) -> None:
    """Run the commands of a block, by the entry points of their programs."""
    mark(line)
    for command in commands.replace("\\\n", " ").splitlines():
        words = shlex.split(command, comments=True)
        if words:
            _run_program(words, f"line {line}: {command}")
    sys.stdout.flush()


def _run_program(words: list[str], what: str) -> None:
    name, *arguments = words
    before = sys.argv
    try:
        if name == "llavit-lens":
            from llavit_lens.cli import main

            sys.argv = words
            main()
        elif name == "python" and arguments[0].endswith(".py"):
            sys.argv = arguments
            runpy.run_path(str(ROOT / arguments[0]), run_name="__main__")
        else:
            raise AssertionError(f"{what}: only llavit-lens and python scripts are run")
    except SystemExit as ended:
        assert not ended.code, f"{what}: exit code {ended.code}"
    finally:
        sys.argv = before
