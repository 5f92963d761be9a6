"""Models on several devices, and quantized ones: the same words, or a refusal with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from family_cases import CASES
from tiny import tiny_image, tiny_llava
from tiny_vlm import plain_processor
from torch import nn
from transformers.quantizers import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError

IMAGE = tiny_image(width=90, height=60)


class OfBytes(nn.Module):
    """A linear map that holds one byte for each weight, and perhaps rounds what it is given."""

    def __init__(self, linear: nn.Linear, rounds: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(linear.weight.detach().abs().amax() / 127, requires_grad=False)
        codes = (linear.weight.detach() / self.scale).round().to(torch.int8)
        self.weight = nn.Parameter(codes, requires_grad=False)
        self.bias, self.rounds = linear.bias, rounds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.rounds:
            step = x.abs().amax(-1, keepdim=True) / 127
            x = torch.where(step > 0, (x / step).round() * step, x)
        return nn.functional.linear(x, self.weight.to(x) * self.scale, self.bias)


@register_quantization_config("bytes")
class BytesConfig(QuantizationConfigMixin):
    def __init__(self, skip: list[str] = [], rounds: bool = False, **_: Any) -> None:  # noqa: B006
        self.quant_method, self.skip, self.rounds = "bytes", skip, rounds


@register_quantizer("bytes")
class BytesQuantizer(HfQuantizer):
    """A kind of quantization as packages add them to transformers."""

    requires_calibration = False

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> Any:
        return model

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
        config: Any = self.quantization_config
        for name, module in list(model.named_modules()):
            decodes = "language_model" in name or name == "lm_head"
            if isinstance(module, nn.Linear) and decodes and name not in config.skip:
                model.set_submodule(name, OfBytes(module, config.rounds))
        return model

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        return False

    @property
    def is_trainable(self) -> bool:
        return False


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("qwen")
    CASES["qwen2_vl"].model().save_pretrained(folder)
    CASES["qwen2_vl"].processor().save_pretrained(folder)
    yield folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("llava")
    tiny_llava().save_pretrained(folder)
    plain_processor().save_pretrained(folder)
    yield folder


PARTS = {
    "qwen": {
        **dict.fromkeys(["model.visual", "model.language_model.embed_tokens"], "cpu"),
        **{f"model.language_model.layers.{n}": "cpu" if n % 2 else "disk" for n in range(4)},
        **dict.fromkeys(["model.language_model.norm", "model.language_model.rotary_emb"], "cpu"),
    },
    "llava": {
        **dict.fromkeys(["model.vision_tower", "model.multi_modal_projector"], "cpu"),
        **{f"model.language_model.layers.{n}": "cpu" if n % 2 else "disk" for n in range(3)},
        "model.language_model.embed_tokens": "disk",
        **dict.fromkeys(["model.language_model.norm", "model.language_model.rotary_emb"], "cpu"),
    },
}


@pytest.mark.parametrize("kind", ["qwen", "llava"])
@pytest.mark.parametrize("head", ["cpu", "disk"])
def test_parts_on_a_disk_change_nothing(
    kind: str, head: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(kind)
    places: dict[str, str] = {**PARTS[kind], "lm_head": head}
    spread = ll.load(folder, device_map=places, offload_folder=str(tmp_path))
    assert any(weight.is_meta for weight in spread.model.parameters())
    assert spread.device == torch.device("cpu")
    whole = ll.load(folder)
    ours, theirs = (ll.logit_lens(vlm.trace(IMAGE, "What?"), k=3) for vlm in (spread, whole))
    assert (ours.ids == theirs.ids).all() and (ours.values == theirs.values).all()
    assert spread.generate(IMAGE, max_new_tokens=2) == whole.generate(IMAGE, max_new_tokens=2)


def test_a_quantized_model_is_read(qwen: Path) -> None:
    vlm = ll.load(qwen, quantization_config=BytesConfig())
    assert isinstance(vlm.model.lm_head, OfBytes)
    trace = vlm.trace(IMAGE, "What?")
    words = ll.logit_lens(trace, k=3, layers=[-1])
    own = vlm.run(IMAGE, "What?")[0, torch.as_tensor(trace.layout.positions)]
    assert torch.equal(torch.as_tensor(words.ids[0]), own.topk(3).indices)


def test_a_head_that_rounds_is_refused_and_says_what_to_do(qwen: Path) -> None:
    vlm = ll.load(qwen, quantization_config={"quant_method": "bytes", "rounds": True})
    with pytest.raises(ConfigurationError, match=r"llm_int8_skip_modules=\['lm_head'\]"):
        vlm.trace(IMAGE, "What?")
    skip = BytesConfig(skip=["lm_head"], rounds=True)
    vlm = ll.load(qwen, quantization_config=skip)
    assert isinstance(vlm.decoder.layers[0].mlp.up_proj, OfBytes)
    assert vlm.trace(IMAGE, "What?").hidden.isfinite().all()


@pytest.mark.parametrize("kind", ["qwen", "llava"])
def test_a_checkpoint_that_says_it_is_quantized(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source = request.getfixturevalue(kind)
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    fields = json.loads((tmp_path / "config.json").read_text("utf-8"))
    fields["quantization_config"] = {"quant_method": "bytes", "skip": ["lm_head"]}
    (tmp_path / "config.json").write_text(json.dumps(fields), "utf-8")
    vlm = ll.load(tmp_path)
    assert isinstance(vlm.decoder.layers[0].mlp.up_proj, OfBytes)
    assert vlm.trace(IMAGE, "What?").hidden.isfinite().all()
