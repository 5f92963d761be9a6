"""The steps of loading a model, by the names under which they are shown."""

from __future__ import annotations

DOWNLOAD, READ, BUILD = "Downloading", "Reading the weights", "Building the model"
"""They count bytes, bytes, and weights."""


def step_line(step: str, done: int, total: int) -> str:
    """Such as "Reading the weights: 3.1 of 14.2 GB", or "Building the model: 40%".

    Args:
        step: its name.
        done, total: how much of it is done, of how much; 0 of 0 where that is unknown.
    """
    if not total:
        return step
    if step in (DOWNLOAD, READ):
        unit, name = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
        return f"{step}: {done / unit:.1f} of {total / unit:.1f} {name}"
    return f"{step}: {min(1.0, done / total):.0%}"
