"""A release of transformers newer than any tested is checked at load; a wrong one is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import transformers

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.model import self_check
from llavit_lens.model.attention import plan
from llavit_lens.model.attention import visual_attention as attention
from llavit_lens.model.decoders import DECODERS
from llavit_lens.model.self_check import check_release
from llavit_lens.model.tested import NEWEST_TESTED

NEWER = "5.999.0"


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As if a newer release were installed; yields the folder that remembers checks."""
    monkeypatch.setattr(transformers, "__version__", NEWER)
    monkeypatch.setattr(self_check, "cached_assets_path", lambda *_, **__: tmp_path)
    self_check._check_once.cache_clear()
    yield tmp_path
    self_check._check_once.cache_clear()


def drop_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault that a renamed argument makes: layers that never see the cache."""

    def drop(arguments: dict[str, object]) -> None:
        for name in ("cache", "past_key_values"):
            arguments.pop(name, None)

    monkeypatch.setattr(attention, "take_cache", drop)


def drop_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eq. 8 is lost on the way: visual tokens attend causally."""
    monkeypatch.setattr(plan, "bidirectional_mask", lambda *_: None)


def drop_the_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """LLaViT with its switches off is no LLaVA any more."""
    real = attention.VisualAttention.attend

    def attend(self: attention.VisualAttention, *args: torch.Tensor, **kwargs: object) -> object:
        z_BLHE, weights_BHLS = real(self, *args, **kwargs)
        return z_BLHE * 1.01, weights_BHLS

    monkeypatch.setattr(attention.VisualAttention, "attend", attend)


@pytest.mark.long
@pytest.mark.parametrize("family", DECODERS)
def test_a_right_release_passes_and_is_remembered(family: str, assets: Path) -> None:
    before = torch.random.get_rng_state()
    check_release(family)
    assert torch.random.get_rng_state().equal(before)
    (memo,) = assets.iterdir()
    assert NEWER in memo.name
    assert memo.name.endswith(family)


@pytest.mark.parametrize("fault", [drop_the_cache, drop_the_mask, drop_the_attention])
def test_a_wrong_release_is_refused_and_not_remembered(
    fault: object, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(fault)
    fault(monkeypatch)
    with pytest.raises(ConfigurationError, match=f"{NEWER} .*transformers=={NEWEST_TESTED}"):
        ll.load("demo:llavit")
    assert not list(assets.iterdir())


def test_a_release_that_cannot_run_is_refused(
    assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of transformers is the cause, and its text part of the line."""

    def renamed(*_: object, **__: object) -> None:
        raise TypeError("forward() got an unexpected keyword argument 'mask'")

    monkeypatch.setattr(attention.VisualAttention, "forward", renamed)
    with pytest.raises(ConfigurationError, match="argument 'mask'") as caught:
        check_release("qwen2")
    assert isinstance(caught.value.__cause__, TypeError)


def test_it_runs_once_for_each_release_and_family(
    assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    families: list[str] = []

    def compare(family: str) -> float:
        families.append(family)
        return 0.0

    monkeypatch.setattr(self_check, "_largest_difference", compare)
    for family in ("qwen2", "qwen2", "llama", "a family that LLaViT is not built on"):
        check_release(family)
    assert families == ["qwen2", "llama"]
    self_check._check_once.cache_clear()  # another process
    check_release("llama")
    assert families == ["qwen2", "llama"]


@pytest.mark.parametrize("writable", [True, False])
def test_a_check_that_cannot_be_remembered_is_no_error(
    writable: bool, assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_folder(*_: object, **__: object) -> Path:
        if writable:
            return assets / "missing"
        raise PermissionError("read-only")

    monkeypatch.setattr(self_check, "cached_assets_path", no_folder)
    check_release("qwen2")
    assert not list(assets.iterdir())


def test_a_tested_release_is_not_checked(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers, "__version__", NEWEST_TESTED)
    monkeypatch.setattr(self_check, "_largest_difference", lambda _: float("nan"))
    check_release("qwen2")
    monkeypatch.setattr(transformers, "__version__", NEWER)
    with pytest.raises(ConfigurationError):  # not a number is no small difference
        check_release("qwen2")


@pytest.mark.long
def test_a_release_without_what_is_needed_names_those_that_have_it() -> None:
    code = (
        "import transformers.masking_utils as masks; del masks.find_packed_sequence_indices; "
        "import llavit_lens.model"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = result.stderr.splitlines()[-1]
    assert result.returncode == 1
    assert f"transformers {transformers.__version__}" in last
    assert "find_packed_sequence_indices" in last
    assert f"<={NEWEST_TESTED}" in last
