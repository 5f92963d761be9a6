"""What a lens is not meant to be given is refused in one line that says what to give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_image
from tiny_vlm import tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.attention_check import check_visual_attention
from llavit_lens.interventions.restore import restore_map
from llavit_lens.lens.attention import attention_patterns
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.lens.topk import topk_unembed
from llavit_lens.studies.attention_distance.measure import attention_distances
from llavit_lens.vlm.answers import answer_log_prob
from llavit_lens.vlm.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_vlm("llavit").trace(tiny_image())


@pytest.mark.parametrize("lens", [logit_lens, input_similarity])
@pytest.mark.parametrize("given", ["scene.png", None, "vlm", tiny_image()])
def test_a_lens_takes_a_trace(lens: Callable[..., Any], given: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"is no trace; pass what vlm\.trace returns"):
        lens(tiny_vlm("llava") if given == "vlm" else given, "scene.png")


@pytest.mark.parametrize("lens", [logit_lens, input_similarity])
@pytest.mark.parametrize("k", [None, 2.5, 2.0, True, "3", [3]])
def test_k_is_a_whole_number(lens: Callable[..., Any], k: Any, trace: Trace) -> None:
    with pytest.raises(ConfigurationError, match=r"k=.*: give a whole number"):
        lens(trace, k=k)


def test_whole_numbers_of_other_kinds_are_taken(trace: Trace) -> None:
    for k in (np.int64(3), torch.tensor(3)):
        assert logit_lens(trace, k=k).k == 3
    assert topk_unembed(trace.hidden[0], trace.unembedding, np.int32(2)).ids.shape[1] == 2


@pytest.mark.parametrize("layers", [True, 2.0, "3", [[0], [1, 2]], [[0, 1]], [None], object()])
def test_layers_are_whole_numbers(layers: Any, trace: Trace) -> None:
    with pytest.raises(ConfigurationError, match="give whole numbers"):
        logit_lens(trace, layers=layers)


@pytest.mark.parametrize("tracked", ["dog", 5, [5], [None], {"dog"}])
def test_tracked_is_a_list_of_words(tracked: Any, trace: Trace) -> None:
    with pytest.raises(ConfigurationError, match="tracked takes a list of words"):
        logit_lens(trace, tracked=tracked)


@pytest.mark.parametrize(
    "place", [("0", 0, 0), (0, "0", 0), (0, 0, 1.5), (0, True, 0), (0, 0, 0, "0"), (None, 0, 0)]
)
def test_a_place_is_named_by_whole_numbers(place: tuple[Any, ...], trace: Trace) -> None:
    words = logit_lens(trace)
    with pytest.raises(ConfigurationError, match="give a whole number"):
        words.at(*place)
    assert words.at(np.int64(-1), np.int64(0), np.int64(-1)) == words.at(-1, 0, -1)


@pytest.mark.parametrize("given", ["demo:llavit", None, "model"])
def test_what_reads_a_model_takes_a_vlm(given: Any) -> None:
    vlm = tiny_vlm("llavit").model if given == "model" else given
    for call in (
        lambda: attention_patterns(vlm, tiny_image()),
        lambda: attention_distances(vlm, tiny_image()),
        lambda: check_visual_attention(vlm, tiny_image()),
        lambda: answer_log_prob(vlm, tiny_image(), "What?", " a"),
        lambda: restore_map(vlm, tiny_image(), tiny_image(), "What?", " a"),
    ):
        with pytest.raises(ConfigurationError, match="is no VLM; pass what"):
            call()
