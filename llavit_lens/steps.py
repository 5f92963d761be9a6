"""The steps of loading a model, by the names under which they are shown."""

from __future__ import annotations

DOWNLOAD, READ, BUILD = "Downloading", "Reading the weights", "Building the model"
"""They count bytes, bytes, and weights."""
