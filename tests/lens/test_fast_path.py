"""The low-precision path of the lens: the words of float32 always, also where bfloat16 misleads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens import choice, prepared, ranks, rounding, topk
from llavit_lens.lens.choice import forced
from llavit_lens.lens.products import Buffer, LowProduct
from llavit_lens.lens.shortlist import Shortlist
from llavit_lens.lens.topk import TopK, topk_unembed
from llavit_lens.vlm.logit_map import LogitMap

V, D = 700, 48


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(
    hidden: Tensor,
    weight: Tensor,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    logit_map: LogitMap | None = None,
) -> Tensor:
    """float32 [N, V]: float64 logits, rounded once; naively."""
    logits = hidden.float().double() @ weight.float().double().T
    logits = logits if scale is None else logits * scale
    logits = logits if bias is None else logits + bias
    if logit_map is not None:
        logits = logits * logit_map.scale
        if logit_map.cap is not None:
            logits = logit_map.cap * torch.tanh(logits / logit_map.cap)
        if logit_map.barred is not None:
            logits[:, logit_map.barred] = -torch.inf
    return logits.float()


def fast(hidden: Tensor, weight: Tensor, k: int, **options: Any) -> TopK:
    with forced("fast"):
        return topk_unembed(hidden, weight, k, **options)


def assert_same_words(top: TopK, logits: Tensor) -> None:
    """Ids and their order; equal logits by the lowest id."""
    k = top.ids.shape[1]
    values, ids = logits.sort(dim=1, descending=True, stable=True)
    assert torch.equal(top.ids, ids[:, :k])
    off = (top.logits - values[:, :k]).abs().max()
    assert off <= 4e-6 * logits[logits.isfinite()].abs().max() + 1e-40


def assert_within_stated_errors(top: TopK, logits: Tensor) -> None:
    log_p = logits.double().log_softmax(1)
    entropy = torch.special.entr(log_p.exp()).sum(1)
    logsumexp = logits.double().logsumexp(1)
    float32 = 2.0**-22 * logits.abs().amax(1) * (1 + entropy) + 1e-5
    errors = top.logsumexp_error, top.entropy_error
    assert errors[0] is not None and errors[1] is not None
    assert ((top.logsumexp - logsumexp).abs() <= errors[0] + float32).all()
    assert ((top.entropy - entropy).abs() <= errors[1] + 2 * float32).all()


def hard_cases() -> dict[str, tuple[Tensor, Tensor]]:
    hidden, weight = random(24, D), random(V, D, seed=1)
    near = weight.clone()
    near[::2] = near[1] + random(V // 2, D, seed=2) * 1e-4  # bfloat16 cannot tell them apart
    seeing = hidden + 2 * near[1]
    closer = weight.clone()
    closer[::2] = closer[1] + random(V // 2, D, seed=2) * 1e-7  # float32 hardly can
    common = weight * 0.01 + 10 * random(1, D, seed=3)
    outliers = weight.clone()
    outliers[[3, 600]] *= 300
    zeros = hidden.clone()
    zeros[::2] = 0
    return {
        "random": (hidden, weight),
        "bfloat16": (hidden.bfloat16(), weight.bfloat16()),
        "float16": (hidden.half(), weight.half()),
        "near ties": (seeing, near),
        "nearer ties": (seeing, closer),
        "identical words": (hidden, weight[torch.arange(V) % 90]),
        "one word": (hidden, weight[:1].expand(V, D).contiguous()),
        "anisotropic": (hidden + 5 * common[:1], common),
        "huge lengths": (hidden * 1e12, outliers * 1e12),
        "tiny lengths": (hidden * 1e-22, weight * 1e-22),
        "outliers": (hidden, outliers),
        "zero states": (zeros, weight),
        "zero words": (hidden, weight * (torch.arange(V) % 3 > 0)[:, None]),
    }


CASES = hard_cases()


@pytest.mark.parametrize("path", ["fast", "exact"])
@pytest.mark.parametrize("tile", [64, 300, V])
@pytest.mark.parametrize("case", CASES)
def test_words_are_those_of_float32(case: str, tile: int, path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(topk, "_NARROWEST_TILE", tile)
    hidden, weight = CASES[case]
    with forced(path):
        top = topk_unembed(hidden, weight, 5, budget_bytes=12 * 10 * tile)
    logits = reference(hidden, weight)
    assert_same_words(top, logits)
    if path == "fast":
        assert_within_stated_errors(top, logits)
    else:
        assert top.redone == 0 and top.logsumexp_error is None


def test_rows_that_the_shortlist_does_not_prove_are_done_again() -> None:
    for case in ("near ties", "one word", "anisotropic"):
        assert fast(*CASES[case], 5).redone > 0, case
    assert fast(*CASES["random"], 5).redone == 0
    assert fast(*CASES["bfloat16"], 5).redone == 0


def test_only_the_rows_in_doubt_are_done_again() -> None:
    hidden, weight = random(40, D), random(V, D, seed=1)
    weight[:100, 0] = (
        60 + random(100, seed=2) * 1e-3
    )  # a hundred near ties, for states that see them
    hidden[:, 0] = 0
    hidden[7, 0] = 400
    top = fast(hidden, weight, 5)
    assert top.redone == 1
    assert_same_words(top, reference(hidden, weight))
    assert top.logsumexp_error is not None
    assert top.logsumexp_error[7] == 0 and (top.logsumexp_error[:7] > 0).all()


def test_a_bound_that_is_too_small_gives_wrong_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the cases above need the bound that they have."""
    hidden, weight = CASES["near ties"]
    monkeypatch.setattr(rounding.Slack, "of", lambda self, tile: self.lengths_N * 1e-6)
    monkeypatch.setattr(Shortlist, "agrees", lambda self, logits_NM: True)
    with pytest.raises(AssertionError):
        assert_same_words(fast(hidden, weight, 5), reference(hidden, weight))


def test_what_a_device_adds_up_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products that break the bound by far, as of a stale copy of the matrix."""
    hidden, weight = CASES["random"]
    plain = LowProduct.tile
    monkeypatch.setattr(LowProduct, "tile", lambda self, words: plain(self, words) * 1.5)
    top = fast(hidden, weight, 5)
    assert top.redone == len(hidden)
    assert_same_words(top, reference(hidden, weight))


@pytest.mark.parametrize(
    "logit_map",
    [
        LogitMap(0.3),
        LogitMap(cap=5.0),
        LogitMap(2.5, 0.5),  # saturates: many words tie at the cap, in float32
        LogitMap(40.0, 30.0),
        LogitMap(barred=torch.arange(V) % 3 == 1),
        LogitMap(1.7, 9.0, barred=torch.arange(V) < 640),
    ],
    ids=repr,
)
@pytest.mark.parametrize("path", ["fast", "exact"])
def test_what_the_model_does_to_logits_keeps_the_order(logit_map: LogitMap, path: Any) -> None:
    hidden, weight = CASES["random"]
    bias, scale = random(V, seed=5), random(V, seed=6)
    with forced(path):
        top = topk_unembed(
            hidden,
            weight,
            5,
            bias=bias,
            scale=scale,
            logit_map=logit_map,
            budget_bytes=12 * 24 * 90,
        )
    logits = reference(hidden, weight, scale, bias, logit_map)
    assert_same_words(top, logits)
    if path == "fast":
        assert_within_stated_errors(top, logits)


@pytest.mark.parametrize("path", ["fast", "exact"])
def test_tracked_words(path: Any) -> None:
    for case in ("random", "bfloat16"):
        hidden, weight = CASES[case]
        logits = reference(hidden, weight)
        order = logits.sort(dim=1, descending=True, stable=True).indices
        tracked = [0, 3, *order[0, :3].tolist(), V - 1]
        with forced(path):
            top = topk_unembed(hidden, weight, 5, tracked=tracked)
        assert top.tracked_rank is not None and top.tracked_logits is not None
        assert torch.equal(top.tracked_rank, order.argsort(1)[:, tracked])
        assert torch.allclose(top.tracked_logits, logits[:, tracked], rtol=2e-7, atol=1e-30)


@pytest.mark.parametrize("case", ["identical words", "nearer ties", "one word", "float16"])
def test_ranks_do_not_depend_on_tiles_or_path(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topk, "loses_nothing", lambda hidden, weight: True)
    hidden, weight = CASES[case]
    logits = reference(hidden, weight)
    wanted = logits.sort(dim=1, descending=True, stable=True).indices.argsort(1)
    tracked = [3, 95, 640, V - 1]
    for tile, rows, path in ((64, 10, "exact"), (300, 24, "fast"), (V, 24, "exact")):
        monkeypatch.setattr(topk, "_NARROWEST_TILE", tile)
        with forced(path):  # type: ignore[arg-type]
            top = topk_unembed(hidden, weight, 5, tracked=tracked, budget_bytes=12 * rows * tile)
        assert top.tracked_rank is not None
        assert torch.equal(top.tracked_rank, wanted[:, tracked])


def test_tracked_words_are_not_swept_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    barred = LogitMap(barred=torch.arange(V) % 3 == 1)
    top = fast(*CASES["random"], 5, tracked=[3], logit_map=barred)
    assert top.redone == 0 and top.logsumexp_error is None  # at once the exact way
    pairs: list[int] = []
    plain = ranks.rescored_pairs

    def counted(*args: Any) -> Tensor:
        pairs.append(len(args[-1]))
        return plain(*args)

    monkeypatch.setattr(ranks, "rescored_pairs", counted)
    monkeypatch.setattr(topk, "loses_nothing", lambda hidden, weight: True)
    top = fast(*CASES["random"], 5, tracked=[1, 697], logit_map=barred)
    assert top.redone == 0 and sum(pairs) == 0  # a barred word leaves nothing open
    assert top.tracked_rank is not None and top.tracked_logits is not None
    wanted = reference(*CASES["random"], logit_map=barred)
    wanted = wanted.sort(dim=1, descending=True, stable=True).indices.argsort(1)[:, [1, 697]]
    assert torch.equal(top.tracked_rank, wanted)
    assert top.tracked_logits.eq(-torch.inf).all()


def test_words_that_are_cast_are_within_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain = Buffer.__init__

    def watched(self: Buffer, like: Tensor, cells: int, dtype: torch.dtype) -> None:
        sizes.append(cells)
        plain(self, like, cells, dtype)

    monkeypatch.setattr(Buffer, "__init__", watched)
    hidden, weight = random(2, D), random(V, D, seed=1).half()
    topk_unembed(hidden, weight, 5, budget_bytes=12 * 3 * D)
    assert max(sizes) <= 3 * D


def test_where_memory_ends_the_exact_path_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight = CASES["random"]
    for error in (torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory: you tried")):

        def fails(self: object, error: RuntimeError = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(prepared.Prepared, "_in_bfloat16", fails)
            top = fast(hidden, weight.clone(), 5)
        assert top.logsumexp_error is None
        assert_same_words(top, reference(hidden, weight))


def test_a_measurement_that_memory_ended_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> None:
        raise torch.OutOfMemoryError("x")

    monkeypatch.setattr(choice, "_measured", {})
    monkeypatch.setattr(choice, "_WORTH_IT", 1)
    monkeypatch.setattr(choice, "_seconds", fails)
    assert not choice.fast_pays(random(32, D), random(V, D))
    assert not choice._measured


def test_the_shortlist_carries_the_softmax() -> None:
    """Where the tail is small, logsumexp is exact, however coarse the product is."""
    hidden, weight = random(8, D) * 20, random(V, D, seed=1)
    top = fast(hidden, weight, 5)
    assert top.logsumexp_error is not None
    wanted = reference(hidden, weight).double().logsumexp(1)
    raw = (hidden.bfloat16() @ weight.bfloat16().T).double().logsumexp(1)
    assert (raw - wanted).abs().max() > 0.05
    assert (top.logsumexp - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
@pytest.mark.parametrize("path", ["fast", "exact"])
def test_what_is_not_finite_is_an_error(path: Any, value: float) -> None:
    hidden, weight = random(4, D), random(V, D, seed=1)
    hidden[2] = value
    with forced(path), pytest.raises(ConfigurationError, match="NaN or infinity"):
        topk_unembed(hidden, weight, 5)


def test_what_overflows_in_bfloat16_alone_is_done_again() -> None:
    largest = torch.finfo(torch.float32).max
    hidden, weight = torch.zeros(2, D), random(V, D, seed=1) * 1e-3
    hidden[:, 0] = 1
    hidden[0, 1] = largest * 0.999  # rounds to infinity
    weight[:, 1] = 0
    top = fast(hidden, weight, 5)
    assert top.redone == 1
    assert_same_words(top, reference(hidden, weight))


def test_a_matrix_that_is_written_to_is_prepared_anew() -> None:
    hidden, weight = random(24, D), random(V, D, seed=1)
    fast(hidden, weight, 5)
    with torch.no_grad():
        weight[17] = 50 * hidden[3]
    assert fast(hidden, weight, 5).ids[3, 0] == 17
    weight.data.mul_(-1)  # autograd does not count this
    assert_same_words(fast(hidden, weight, 5), reference(hidden, weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_write_to_one_word_that_autograd_does_not_see(dtype: torch.dtype) -> None:
    hidden, weight = random(24, D), random(V, D, seed=1).to(dtype)
    fast(hidden, weight, 5)
    for word in (7, 19):
        weight.data[word] = 3 * hidden[word].to(dtype)
        top = fast(hidden, weight, 5)
        assert top.ids[word, 0] == word
        assert_same_words(top, reference(hidden, weight))
    weight.data[:] = weight[:, torch.arange(D).roll(1)]  # the same numbers at other places
    assert_same_words(fast(hidden, weight, 5), reference(hidden, weight))


def test_what_is_prepared_is_kept_and_made_once() -> None:
    weight = random(V, D)
    assert prepared.prepared_of(weight) is prepared.prepared_of(weight)
    with torch.inference_mode():
        other = random(V, D)
        assert prepared.prepared_of(other) is prepared.prepared_of(other)
        known = prepared.prepared_of(other)
        other[3, 5] += 1e-3
        assert prepared.prepared_of(other) is not known


def test_threads_share_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    plain = prepared.lengths

    def slow(rows: Tensor) -> Tensor:
        made.append(len(rows))
        sleep(0.02)
        return plain(rows)

    monkeypatch.setattr(prepared, "lengths", slow)
    weight = random(V, D)
    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(lambda _: prepared.prepared_of(weight).rounded, range(4)))
    assert all(copy is copies[0] for copy in copies)
    assert len(made) == 2  # of the copy, and of what it loses


@pytest.mark.parametrize("path", ["fast", "exact"])
def test_an_infinite_weight_is_an_error_where_it_gives_no_word(path: Any) -> None:
    hidden, weight = random(4, D).abs(), random(V, D, seed=1)
    weight[5] = 0
    weight[5, 3] = -torch.inf
    with forced(path), pytest.raises(ConfigurationError, match="NaN or infinity"):
        topk_unembed(hidden, weight, 5)
    weight[5, 3] = -1e25  # its length overflows, its numbers do not
    with forced(path):
        assert_same_words(topk_unembed(hidden, weight, 5), reference(hidden, weight))


@pytest.mark.parametrize("follows", ["bias", "scale"])
def test_what_follows_a_rounded_product_is_not_rounded(follows: str) -> None:
    """A true logit just above the others', which bfloat16 rounds down by more than what parts
    them: half its step, not a quarter of it."""
    best, hidden, weight = 3000, torch.zeros(1, 64), torch.zeros(4096, 64)
    hidden[0, 0], hidden[0, 1] = 1, 2.0**-4
    weight[best, 0], weight[best, 1] = 1, 2.0**-4 * (1 - 2.0**-6)
    added = torch.full((4096,), float(follows == "scale"))
    added[:60] = 1.0005
    added[10] = 1.003
    if follows == "scale":
        weight[:60, 0] = 1
    bias, scale = (None, added) if follows == "scale" else (added, None)
    top = fast(hidden, weight.bfloat16(), 1, bias=bias, scale=scale)
    logits = reference(hidden, weight.bfloat16(), scale, bias)
    assert logits.argmax() == best
    assert_same_words(top, logits)


def test_the_path_is_measured_once_and_only_where_it_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[torch.dtype] = []

    def is_faster(rows: int, words: int, width: int, device: Any, dtype: torch.dtype) -> bool:
        asked.append(dtype)
        return dtype == torch.bfloat16

    monkeypatch.setattr(choice, "_is_faster", is_faster)
    monkeypatch.setattr(choice, "_measured", {})
    hidden, weight = random(32, D), random(V, D)
    assert not choice.fast_pays(hidden, weight) and not asked
    monkeypatch.setattr(choice, "_WORTH_IT", 1)
    for _ in range(2):
        assert not choice.fast_pays(hidden, weight)
        assert choice.fast_pays(hidden, weight.bfloat16())
    assert asked == [torch.float32, torch.bfloat16]
    assert topk_unembed(hidden, weight.bfloat16(), 3).logsumexp_error is not None
    assert topk_unembed(hidden, weight.bfloat16(), 3, precision="exact").logsumexp_error is None
    assert topk_unembed(hidden, weight, 3).logsumexp_error is None


def test_two_products_are_measured() -> None:
    answers = {choice._is_faster(16, 64, D, torch.device("cpu"), torch.float32) for _ in range(2)}
    assert answers <= {True, False}


def test_where_most_rows_are_done_again_the_rest_goes_the_exact_way() -> None:
    hidden, weight = CASES["anisotropic"]
    top = fast(hidden, weight, 5, budget_bytes=12 * 8 * V)
    assert top.redone == 8  # of the first chunk
    assert_same_words(top, reference(hidden, weight))


def test_the_unit_roundoff_of_a_rounded_result() -> None:
    x = random(10_000, seed=4) * 100
    share = rounding.ROUNDED_RESULT.result
    off = ((x.bfloat16().float() - x).abs() / x.abs()).max()
    assert 0.9 * share < off <= share


def test_no_such_precision() -> None:
    with pytest.raises(ConfigurationError, match="precision is 'half'; take 'auto' or 'exact'"):
        topk_unembed(random(2, D), random(V, D), 1, precision="half")  # type: ignore[arg-type]


@pytest.mark.long
@given(st.data())
def test_any_problem(data: st.DataObject) -> None:
    n, d, v = (data.draw(st.integers(1, most)) for most in (12, 9, 90))
    seed = data.draw(st.integers(0, 2**31))
    kind = data.draw(st.sampled_from([torch.float32, torch.bfloat16]))
    hidden, weight = random(n, d, seed=seed), random(v, d, seed=seed + 1)
    common = data.draw(st.sampled_from([0.0, 1.0, 100.0]))
    weight = (weight + common * random(1, d, seed=seed + 2))[
        torch.arange(v) % data.draw(st.integers(1, v))
    ]
    hidden, weight = hidden.to(kind), weight.to(kind)
    k, tile = data.draw(st.integers(1, v)), data.draw(st.integers(1, v))
    with (
        pytest.MonkeyPatch.context() as patch,
        forced(data.draw(st.sampled_from(["fast", "exact"]))),
    ):
        patch.setattr(topk, "_NARROWEST_TILE", tile)
        patch.setattr(topk, "_SPARE_FAST", data.draw(st.integers(0, 20)))
        patch.setattr(topk, "_SPARE_EXACT", data.draw(st.integers(0, 5)))
        top = topk_unembed(
            hidden, weight, k, budget_bytes=12 * data.draw(st.integers(1, 2 * n * v))
        )
    assert_same_words(top, reference(hidden, weight))
