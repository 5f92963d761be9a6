"""One pass shows the residual stream: where states are, and that there is one stream alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from any_model import require_type, spread, tiny_model
from family_cases import CASES
from tiny import tiny_image
from tiny_vlm import tiny_vlm
from torch import Tensor, nn

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.topk import topk_unembed
from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.readout import ReadoutCache
from llavit_lens.vlm.stream import Stream, record_residual_stream
from llavit_lens.vlm.vlm import VLM

VISUAL = torch.tensor([False, True, True, False])


class Block(nn.Linear):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return hidden_states + super().forward(hidden_states)


class Toy(nn.Module):
    """A decoder of three layers that does something odd."""

    def __init__(self, odd: str = "") -> None:
        super().__init__()
        torch.manual_seed(4)
        self.odd = odd
        self.config = SimpleNamespace(
            num_hidden_layers=3, hidden_size=8, image_token_id=1, width_multiplier=6.0, unpadded=25
        )
        self.table = nn.Embedding(30, 8)
        self.stack = nn.ModuleList([Block(8, 8) for _ in range(3)])
        self.last = nn.LayerNorm(8, elementwise_affine=odd != "no weights")
        nn.init.uniform_(self.last.weight) if odd != "no weights" else None
        if odd in ("two norms", "bent head"):
            self.other = nn.LayerNorm(8)
        self.head = nn.Linear(8, 30, bias=odd == "scaled and padded")

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def get_input_embeddings(self) -> nn.Module:
        return self.table

    def forward(self, ids: Tensor) -> SimpleNamespace:
        hidden = self.table(ids)
        if self.odd == "two norms":
            hidden = self.other(hidden)
        for number, layer in enumerate(self.stack):
            if (self.odd, number) == ("features", 1):
                hidden = hidden + VISUAL[:, None]
            if (self.odd, number) == ("streams", 2):
                hidden = hidden[None]
            if (self.odd, number) != ("skips", 1):
                hidden = layer(hidden)
            if (self.odd, number) == ("repeats", 1):
                hidden = layer(hidden)
        if self.odd == "features at the end":
            hidden = hidden + VISUAL[:, None]
        if self.odd == "another stream":
            hidden = hidden + 1e-3
        normed = self.last(hidden)
        if self.odd == "scaled and padded":
            logits = self.head(normed / self.config.width_multiplier)
            return SimpleNamespace(logits=logits[..., : self.config.unpadded])
        return SimpleNamespace(
            logits=self.head(1.01 * normed if self.odd == "bent head" else normed)
        )


def passed(toy: Toy) -> tuple[Stream, Decoder, Tensor]:
    decoder = Decoder.of(toy, decoder_of(toy))
    with record_residual_stream(toy, decoder, torch.arange(4)) as stream:
        logits = toy(torch.tensor([[3, 1, 1, 5]])).logits
    return stream, decoder, logits[0, -1]


def test_a_plain_stream() -> None:
    toy = Toy()
    stream, decoder, logits = passed(toy)
    assert decoder.layers is toy.stack and decoder.norm is toy.last is stream.norm
    assert stream.hidden("toy").shape == (4, 4, 8) and stream.added(VISUAL, "toy") == []
    assert stream.head_made is not None and torch.equal(stream.head_made, logits)


@pytest.mark.parametrize(("odd", "state"), [("features", 1), ("features at the end", 3)])
def test_features_of_the_image_may_be_added(odd: str, state: int) -> None:
    stream, _, _ = passed(Toy(odd))
    assert stream.added(VISUAL, "toy") == [state]
    plain, _, _ = passed(Toy())
    both = stream.hidden("toy")[state], plain.hidden("toy")[state]
    assert torch.equal(both[0], both[1] + VISUAL[:, None])


def test_what_the_norm_reads_must_be_what_the_last_layer_puts_out() -> None:
    for odd, is_visual in (("another stream", VISUAL), ("features at the end", ~VISUAL)):
        stream, _, _ = passed(Toy(odd))
        with pytest.raises(ConfigurationError, match="not one residual stream"):
            stream.added(is_visual, "toy")


def test_states_that_are_several_streams_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="states of 4 dimensions"):
        passed(Toy("streams"))


def test_layers_that_run_twice_are_refused() -> None:
    stream, _, _ = passed(Toy("repeats"))
    with pytest.raises(ConfigurationError, match="ran 5 times in one pass"):
        stream.hidden("toy")
    with pytest.raises(ConfigurationError, match="did not act in this pass"):
        passed(Toy("skips"))


@pytest.mark.parametrize("odd", ["two norms", "no weights"])
def test_a_norm_that_only_the_pass_can_tell(odd: str) -> None:
    toy = Toy(odd)
    stream, decoder, logits = passed(toy)
    assert decoder.norm is None and stream.norm is toy.last
    hidden = stream.hidden("toy")
    readout = ReadoutCache().of(decoder, stream, logits, None, torch.device("cpu"), "toy")
    assert torch.equal(toy.head(readout.normed(hidden[-1]))[-1], logits)


def test_a_scale_before_the_head_and_a_vocabulary_that_is_padded() -> None:
    toy = Toy("scaled and padded")
    cache, cpu = ReadoutCache(), torch.device("cpu")
    for _ in range(2):
        stream, decoder, logits = passed(toy)
        readout = cache.of(decoder, stream, logits, None, cpu, "toy")
        normed = readout.normed(stream.hidden("toy")[-1])
        top = topk_unembed(
            normed,
            readout.unembedding,
            25,
            bias=readout.unembedding_bias,
            logit_map=readout.logit_map,
        )
        assert readout.logit_map.scale == 1 / 6 and readout.unembedding.shape == (25, 8)
        own = logits.sort(descending=True)
        assert torch.equal(top.ids[-1], own.indices)
        assert (top.logits[-1] - own.values).abs().max() < 1e-6
    for used in ("width_multiplier", "unpadded"):
        toy = Toy("scaled and padded")
        stream, decoder, logits = passed(toy)
        setattr(toy.config, used, 7)  # so the config names it no more
        with pytest.raises(ConfigurationError, match="would misread"):
            ReadoutCache().of(decoder, stream, logits, None, cpu, "toy")


def test_a_pass_is_given_its_own_readout_while_another_thread_ends_a_pass() -> None:
    class Contended(ReadoutCache):
        def __setattr__(self, name: str, value: Any) -> None:
            """Whatever is kept, another thread has replaced it at once."""
            super().__setattr__(name, None if value is None else others)

    toy = Toy("one norm")
    stream, decoder, logits = passed(toy)
    cpu = torch.device("cpu")
    others = ReadoutCache().of(decoder, stream, logits, "another", cpu, "toy")
    cache = Contended()
    readout = cache.of(decoder, stream, logits, "own", cpu, "toy")
    assert cache.latest is others and readout.tokenizer == "own"


def test_a_norm_that_the_pass_does_not_show_is_refused() -> None:
    stream, _, _ = passed(Toy("bent head"))
    with pytest.raises(ConfigurationError, match="final norm is not found"):
        stream.hidden("toy")


def test_a_norm_that_is_learnt_is_held_to_the_last_layer_too() -> None:
    toy = Toy("two norms")
    toy.last.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    stream, _, _ = passed(toy)
    with pytest.raises(ConfigurationError, match="not one residual stream"):
        stream.added(VISUAL, "toy")


def test_what_hooks_of_others_change_is_not_the_models_doing() -> None:
    toy = Toy()
    toy.stack[1].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    toy.last.register_forward_pre_hook(lambda module, args: (args[0] + 2,))
    toy.stack[0].register_forward_hook(lambda module, args, output: output + 4)
    stream, _, _ = passed(toy)
    assert stream.added(VISUAL, "toy") == []
    toy = Toy()
    plain, _, _ = passed(toy)
    assert torch.equal(stream.hidden("toy")[1], plain.hidden("toy")[1] + 4 + 1)


def test_several_streams_of_a_real_family_are_refused() -> None:
    require_type("inkling2")
    model = tiny_model("inkling2")
    spread(model)
    decoder = Decoder.of(model, decoder_of(model))
    with record_residual_stream(model, decoder, torch.arange(4)) as stream:
        model(input_ids=torch.arange(40, 44)[None], use_cache=False)
    with pytest.raises(ConfigurationError, match="not one residual stream"):
        stream.added(torch.zeros(4, dtype=torch.bool), "tiny")


def test_deepstack_is_in_the_states_and_in_what_is_saved(tmp_path: Path) -> None:
    case = CASES["qwen3_vl"]
    vlm = case.vlm()
    layers, exits = vlm.decoder.layers, []
    for layer in layers[:2]:
        layer.register_forward_hook(lambda module, args, output: exits.append(output))
    trace = vlm.trace(tiny_image(), case.prompt)
    assert trace.provenance["features_added_to_states"] == [1, 2]
    for state, left in zip((1, 2), exits, strict=True):
        rows = left[0, torch.as_tensor(trace.layout.positions)]
        assert not torch.equal(trace.hidden[state], rows)
    words = ll.logit_lens(trace, k=2)
    words.save(tmp_path / "words.parquet")
    assert ll.Words.load(tmp_path / "words.parquet").provenance == words.provenance


def test_fewer_logits_are_asked_for_only_where_the_model_knows_how() -> None:
    asked: list[dict[str, object]] = []

    def forward(vlm: VLM) -> None:
        inner = vlm.model.forward

        def run(*args: object, **kwargs: object) -> object:
            asked.append(kwargs)
            return inner(*args, **kwargs)

        vlm.model.forward = run

    llava = tiny_vlm("llava")
    forward(llava)
    llava.trace(tiny_image())
    assert asked[-1]["logits_to_keep"] == 1
    case = CASES["video_llama_3"]
    vlm = case.vlm()
    forward(vlm)
    vlm.trace(tiny_image(), case.prompt)
    assert "logits_to_keep" not in asked[-1]
