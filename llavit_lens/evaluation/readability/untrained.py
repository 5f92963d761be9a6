"""The floor: the same architecture and vision tower, with nothing learned."""

from __future__ import annotations

from copy import deepcopy

import torch

from llavit_lens.errors import ConfigurationError
from llavit_lens.results.readability import UNTRAINED
from llavit_lens.vlm.vlm import VLM


def untrained(vlm: VLM, seed: int = 0) -> VLM:
    """A copy of the model with an untrained language model and projector.

    The vision tower keeps its weights. Takes the memory of a second model.

    Raises:
        ConfigurationError: the model has no vision tower of its own.
    """
    tower = vlm.family.tower(vlm.model)
    if tower is None:
        raise ConfigurationError(
            f"{vlm.name}: has no vision tower to keep, so there is no untrained model beside it"
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = type(vlm.model)._from_config(deepcopy(vlm.model.config), dtype=vlm.model.dtype)
    vlm.family.tower(model).load_state_dict(tower.state_dict())
    return VLM(model.to(vlm.device), vlm.processor, f"{vlm.name}{UNTRAINED}", vlm.revision)
