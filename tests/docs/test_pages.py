"""Every block of README and documentation runs, and prints what the page says (see `pages`)."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from pages import ROOT, blocks_of, faults, needed, run, same

PAGES = [
    path
    for pattern in ("*.md", "analyses/*.md", "docs/*.md", "docs/recipes/*.md")
    for path in sorted(ROOT.glob(pattern))
]
INSTALLS = "it installs packages, from a network"
MINUTES = "it takes minutes; its options are looked at by the tests of the command"
NO_NETWORK = "tests fetch nothing"
NOT_RUN: dict[str, dict[str, str]] = {
    "README.md": {
        "a clone of this repository": INSTALLS,
        "a clone of this repository, and git and make": INSTALLS,
    },
    "CONTRIBUTING.md": {
        "a clone, git and make": "these are the tests themselves",
        "a clone after make test": "these are the tests themselves",
    },
    "docs/explorer.md": {
        "a clone and the extra explorer; owner/name stands for your model": "a server does not end",
        "a clone, the extra explorer and an index": "a server does not end",
    },
    "docs/model.md": {
        'a LLaViT checkpoint: "path/to/llavit" stands for its folder': "a name that stands for one",
        "the Hub, or the folders": NO_NETWORK,
    },
    "docs/speed.md": {"minutes": MINUTES},
    "docs/world.md": {
        "accelerate (pip install 'accelerate>=1.13'), the font, "
        "and 23 to 47 minutes on one core": MINUTES,
    },
    "docs/recipes/clusters.md": {
        "a second core": "tests/corpus have the ranks of torchrun, without torchrun",
        "SLURM": "a queue of jobs; its environment is in tests/corpus/test_ranks.py",
        "a clone of the repository, to install from": INSTALLS,
        "Ray (the extra cluster)": "tests/corpus run a Ray of two workers",
    },
    "docs/recipes/nnsight.md": {"a clone of the repository, to install from": INSTALLS},
    "docs/recipes/notebooks.md": {
        "a running notebook, and a click in it": "tests/viewer clicks in the widget",
    },
    "docs/recipes/photographs.md": {
        "the Hub (about 14 GB, once), and a GPU with 16 GB, or 32 GB of main memory": NO_NETWORK,
        "the Hub and a GPU": NO_NETWORK,
    },
    "docs/recipes/readability.md": {
        "minutes, for the probe's images": MINUTES,
        "COCO's files: instances_val2017.json and the folder val2017": NO_NETWORK,
        "COCO's files and a GPU": NO_NETWORK,
    },
    "docs/recipes/transformer_lens.md": {"a clone of the repository, to install from": INSTALLS},
}
"""Page -> what follows `# needs ` in the block -> why it is not run here."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


RUNS = [path for path in PAGES if any(block.runs for block in blocks_of(path.read_text()))]


@pytest.mark.long
@pytest.mark.parametrize("path", RUNS, ids=name_of)
def test_a_page_runs_and_prints_what_it_says(path: Path, tmp_path: Path) -> None:
    page = path.read_text()
    missing = [name for name in needed(page) if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    done = run(page, tmp_path)
    assert done.returncode == 0, f"{name_of(path)} (lines are those of the page):\n{done.stderr}"
    assert not (wrong := faults(page, done.stdout)), "\n".join([name_of(path), *wrong])


def test_what_is_not_run_is_listed_with_its_reason() -> None:
    """In both directions: nothing is left out by a comment alone, and no entry is without block."""
    left_out = {
        name_of(path): {
            block.body.splitlines()[0].removeprefix("# needs ")
            for block in blocks_of(path.read_text())
            if not block.runs
        }
        for path in PAGES
    }
    assert {page: lines for page, lines in left_out.items() if lines} == {
        page: set(reasons) for page, reasons in NOT_RUN.items()
    }


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_programs_stand_in_blocks_that_are_looked_at(path: Path) -> None:
    page = path.read_text()
    assert re.findall(r"^(?: {4,}|\t)\S*(?:llavit-lens|python|import llavit).*", page, re.M) == []
    known = {"python", "sh", "text", "nginx", "bibtex", "console", "mermaid", "yaml"}
    fences = re.findall(r"^```(\w*)$", page, re.M)
    assert set(fences[::2]) <= known and set(fences[1::2]) <= {""}, "a fence without language"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    page = path.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", page) + re.findall(r'src="([^"]+)"', page):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, part = target.partition("#")
        linked = path.parent / file if file else path
        assert linked.exists(), target
        if part:
            assert part in anchors(linked.read_text()), target


def anchors(page: str) -> set[str]:
    """As GitHub names the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page, re.M)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in kept}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("folder", ["docs", "docs/recipes"])
def test_every_page_is_in_its_table_of_contents(folder: str) -> None:
    contents = (ROOT / folder / "README.md").read_text()
    pages = [path.name for path in (ROOT / folder).glob("*.md") if path.name != "README.md"]
    assert [name for name in pages if f"({name})" not in contents] == []


@pytest.mark.parametrize(
    ("says", "prints", "holds"),
    [
        ("kite 0.93", "kite 0.94\n", True),
        ("kite 0.93", "kite 0.96", False),
        ("a   b\nc", "a b c", True),
        ("a ... z 1.0", "a 2.5 and z 1.1", True),
        ("8 x 8", "8 x 9", False),
        ("-0.41", "0.41", False),
        ("kite", "kites", False),
    ],
)
def test_what_counts_as_the_same_output(says: str, prints: str, holds: bool) -> None:
    assert same(says, prints) is holds


@pytest.mark.long
def test_a_page_that_is_wrong_fails_at_its_line(tmp_path: Path) -> None:
    page = (
        "# T\nNeeds: a, b\n\n```python\nx = 1\nprint(x)\n```\n\n```text\n2\n```\n\n"
        "```sh\nllavit-lens --version  # a comment\n```\n\n"
        "```python\n# needs a GPU\nraise ValueError\n```\n\n```python\nassert x == 2\n```\n"
    )
    assert needed(page) == ["a", "b"] and needed("# T\n") == []
    assert [block.runs for block in blocks_of(page)] == [True, True, False, True]
    done = run(page, tmp_path)
    assert done.returncode == 1 and "line 23" in done.stderr and "assert x == 2" in done.stderr
    assert faults(page, done.stdout) == ["line 4 prints\n1\n\nand the page says\n2\n"]
    assert "llavit-lens 0" in done.stdout
    wrong = run("# T\n\n```sh\nllavit-lens lens nothing.png\n```\n", tmp_path)
    assert wrong.returncode == 1 and "line 3: llavit-lens lens nothing.png" in wrong.stderr
