"""The ranges in pyproject.toml say what was tested."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from llavit_lens.model.tested import NEWEST_TESTED, OLDEST_TESTED

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NOT_INSTALLED = "deepspeed"  # builds from source
USED_EXTRAS = ("cluster", "explorer", "interop", "train")
LINES = PROJECT["dependencies"] + [line for extra in USED_EXTRAS for line in EXTRAS[extra]]
USED = [requirement for requirement in map(Requirement, LINES) if requirement.name != NOT_INSTALLED]


def pins(name: str) -> dict[str, Version]:
    """The versions in a constraints file, by package."""
    lines = (ROOT / name).read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {package.lower().replace("_", "-"): Version(version) for package, version in pairs}


OLDEST, PINNED = pins("constraints-oldest.txt"), pins("constraints.txt")


@pytest.mark.parametrize("requirement", USED, ids=str)
def test_the_oldest_allowed_and_the_pinned_version_are_tested(requirement: Requirement) -> None:
    bounds = [Version(s.version) for s in requirement.specifier if s.operator == ">="]
    assert bounds == [OLDEST[requirement.name]]
    assert requirement.specifier.contains(PINNED[requirement.name])


def test_transformers_is_named_alike_everywhere() -> None:
    (transformers,) = [r for r in USED if r.name == "transformers"]
    assert Version(OLDEST_TESTED) == OLDEST["transformers"]
    assert transformers.specifier.contains(NEWEST_TESTED)
    assert PINNED["transformers"] <= Version(NEWEST_TESTED)


def test_nothing_else_is_held_back() -> None:
    assert set(OLDEST) == {requirement.name for requirement in USED}
