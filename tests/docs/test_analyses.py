"""analyses/README.md: every command names a script and options that are there."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "analyses" / "README.md").read_text()
SCRIPTS = sorted(path.name for path in (ROOT / "analyses").glob("*.py"))


def commands(page: str) -> list[list[str]]:
    """What follows `python analyses/`, in words."""
    return [shlex.split(found) for found in re.findall(r"`python analyses/([^`]+)`", page)]


def options_of(script: str) -> set[str]:
    """As --help lists them."""
    app = runpy.run_path(str(ROOT / "analyses" / script))["app"]
    command = typer.main.get_command(app)
    return {"--help"} | {name for parameter in command.params for name in parameter.opts}


def faults(page: str) -> list[str]:
    """What is wrong with its commands and links."""
    found = []
    for script, *words in commands(page):
        if script not in SCRIPTS:
            found.append(f"no script {script}")
            continue
        known = options_of(script)
        found += [f"{script} has no {w}" for w in words if w.startswith("-") and w not in known]
    links = re.findall(r"\]\((\.\./[^)]+)\)", page)
    return found + [f"no {link}" for link in links if not (ROOT / "analyses" / link).exists()]


def test_commands_and_links_are_there() -> None:
    assert faults(PAGE) == []


def test_no_script_is_missing() -> None:
    named = {script for script, *_ in commands(PAGE)}
    assert set(SCRIPTS) <= named


def test_options_in_the_text_are_there() -> None:
    """Those that "How to read them" names belong to some script."""
    text = PAGE[PAGE.index("## How to read them") :]
    known = set().union(*(options_of(script) for script in SCRIPTS))
    assert set(re.findall(r"`(--[a-z-]+)[ `]", text)) - known == set()


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_commands_of_each_docstring_are_right_too(script: str) -> None:
    """Those at the top of a script, lines that go on included."""
    source = (ROOT / "analyses" / script).read_text()
    own = source.split('"""')[1].replace("\\\\\n", " ")
    lines = [line.strip() for line in own.splitlines() if line.strip().startswith("python ")]
    assert lines
    assert faults("\n".join(f"`{line}`" for line in lines)) == []


def test_a_wrong_command_is_found() -> None:
    page = (
        "`python analyses/table_4.py --output x` `python analyses/table_9.py` [a](../nowhere.png)"
    )
    assert faults(page) == [
        "table_4.py has no --output",
        "no script table_9.py",
        "no ../nowhere.png",
    ]
