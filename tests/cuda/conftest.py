"""Every test here runs twice: on the CPU, so that it is known to run, and on a GPU if there is one.

`make test-cuda` chooses those of the GPU (marker `cuda`). Products of float32 are products of
float32: TensorFloat-32 is off, and on again where it was.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

NO_GPU = "needs an NVIDIA GPU that PyTorch can use"


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.cuda,
                pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU),
            ],
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where a test runs."""
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def full_precision() -> Iterator[None]:
    """No TensorFloat-32 in matrix products and convolutions."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]
