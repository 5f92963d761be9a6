"""Fixtures shared by all tests: no network, one thread, tiny models."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "disabled")

import pytest
import torch
from hypothesis import settings
from made_words import awkward_words, make_words
from PIL import Image
from programs import command, script
from tiny import tiny_image, tiny_llavit, tiny_processor

from llavit_lens.model import LlavitForConditionalGeneration, LlavitProcessor

__all__ = ["awkward_words", "command", "make_words", "script"]  # fixtures

torch.set_num_threads(1)

# Property tests are bounded by their examples, not by the clock: a busy machine is no failure.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture
def llavit() -> LlavitForConditionalGeneration:
    """A fresh tiny LLaViT with all switches on."""
    return tiny_llavit(vision_feature_layer=[1, 2, -1])


@pytest.fixture(scope="session")
def processor() -> LlavitProcessor:
    """The tiny models' processor."""
    return tiny_processor()


@pytest.fixture(scope="session")
def image() -> Image.Image:
    """A picture of noise."""
    return tiny_image()
