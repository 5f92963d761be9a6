"""How many threads torch uses for a model, in programs.

Threads that wait for each other spin, and a small model makes them wait all the time. One pass of
a demo model (3 million weights, width 128) took 0.065 CPU seconds with one thread and 0.3 to 1.0
with two, on two cores that other programs used as well; the wall time grew by eight to ten. With
21 million weights (width 512) a pass of 200 tokens takes 0.2 seconds with one thread, so more of
them have little to win; from some 50 million on they win where cores are free.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import torch

SMALL = 25_000_000
"""Weights of a model for which one thread is enough."""
_OF_THE_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables by which a user chooses, and which are left alone."""


def fit_threads(model: Any) -> None:
    """Let this thread and later ones run a small model on one thread, others on torch's default.

    For commands and the explorer: `ll.load` and an import never call it.

    Args:
        model: the torch module that runs next.
    """
    default = _default()
    if any(name in os.environ for name in _OF_THE_USER):
        return
    weights = list(model.parameters())
    small = sum(weight.numel() for weight in weights) <= SMALL
    on_cpu = all(weight.device.type == "cpu" for weight in weights)
    torch.set_num_threads(1 if small and on_cpu else default)


@cache
def _default() -> int:
    """torch's own choice; asked before it is changed."""
    return torch.get_num_threads()
