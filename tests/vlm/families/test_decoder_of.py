"""A family that has its decoder elsewhere is followed by everything that looks for a decoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny import tiny_image
from tiny_vlm import tiny_vlm
from torch import nn

import llavit_lens as ll
from llavit_lens.vlm import families
from llavit_lens.vlm.families import decoder_of, family_of


def test_the_usual_place_and_models_without_a_config() -> None:
    vlm = tiny_vlm("llavit")
    assert decoder_of(vlm.model) is vlm.model.model.language_model is vlm.decoder.module
    plain = nn.Linear(1, 1)
    assert decoder_of(plain) is plain


def test_a_family_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = tiny_vlm("llavit")
    calls = []

    def elsewhere(model: nn.Module) -> nn.Module:
        calls.append(model)
        return model.get_decoder()

    own = replace(family_of(vlm.model.config), decoder=elsewhere)
    monkeypatch.setitem(families._FAMILIES, vlm.model.config.model_type, own)
    with ll.ablate_visual_attention(vlm):
        vlm.trace(tiny_image())
    assert len(calls) > 3 and vlm.decoder.module is vlm.model.get_decoder()
