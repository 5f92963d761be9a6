"""No NaN and no infinity: looked for in weights once, and in the states of every pass.

A non-finite number anywhere ends in words that look like any others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.vlm.acting import acting
from llavit_lens.vlm.decoder import layers_of, norm_of, state_given
from llavit_lens.vlm.families import decoder_of


def check_weights(model: nn.Module, name: str) -> None:
    """Reads every weight that is in memory once.

    Raises:
        CheckpointError: one of them holds NaN or infinity.
    """
    bad = nonfinite_weight(model)
    if bad is None:
        return
    key, weight = bad
    remedy = "fetch or train it again"
    if weight.dtype == torch.float16:
        remedy = f"load it with dtype='bfloat16' or 'float32', and if that has it too, {remedy}"
    raise CheckpointError(
        f"{name}: {key} holds NaN or infinity, so nothing that the model says can be trusted; "
        f"{remedy}"
    )


def nonfinite_weight(model: nn.Module) -> tuple[str, Tensor] | None:
    """The first parameter that holds NaN or infinity, or buffer that holds NaN, and its key.

    A buffer may hold infinity on purpose, as a mask does.
    """
    for key, weight in model.named_parameters():
        if not bool(_ends(weight.detach()).isfinite().all()):
            return key, weight
    for key, buffer in model.named_buffers():
        if bool(_ends(buffer.detach()).isnan().any()):
            return key, buffer
    return None


def _ends(weight: Tensor) -> Tensor:
    """As `_extremes`; zeros for what has no numbers that can be looked at."""
    if weight.layout != torch.strided:
        weight = weight.values() if weight.layout != torch.sparse_coo else weight._values()
    if not weight.is_floating_point() or weight.is_meta or weight.numel() == 0:
        return torch.zeros(2)
    try:
        if type(weight) not in (Tensor, nn.Parameter):  # a quantised one, of another library
            weight = weight.dequantize()
        if weight.element_size() == 1:  # float8 has hardly any operations
            weight = weight.float()
        return _extremes(weight)
    except NotImplementedError:  # every pass is looked at, too
        return torch.zeros(2)


@contextmanager
def finite_passes(model: Any, name: str) -> Iterator[None]:
    """Inside, each pass of the model raises ConfigurationError if it meets NaN or infinity.

    Looked at are the states that each decoder layer and the final norm are given, and the largest
    logit of each token: words that the model itself bars have a logit of -inf. That is one number
    more for each layer, and one transfer from the device for each pass.
    """
    model = getattr(model, "_orig_mod", model)  # a compiled model generates by the one inside
    decoder = decoder_of(model)
    norm = norm_of(decoder)
    stages = [*(layers_of(decoder) or ()), *(() if norm is None else (norm,))]
    states: dict[int, Tensor] = {}

    def begin(module: nn.Module, args: Any, kwargs: Any) -> None:
        states.clear()

    def look_into(stage: int) -> Any:
        def look(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            states[stage] = _extremes(state_given(args, kwargs).detach())

        return look

    def end(module: nn.Module, args: Any, output: Any) -> None:
        logits = getattr(output, "logits", None)
        if logits is None:  # a tuple, where `return_dict` is off
            logits = output[0]
        best = logits.detach().float().amax(-1)
        seen = [_extremes(best), *(states[stage].to(best.device) for stage in sorted(states))]
        finite = torch.stack(seen).isfinite().all(1).tolist()
        if all(finite):
            return
        bad = [stage for stage, good in zip(sorted(states), finite[1:], strict=True) if not good]
        where = f"at layer {bad[0]}" if bad else "in its logits"
        raise ConfigurationError(
            f"{name}: NaN or infinity {where} in this pass (layer 0 is what the decoder is given): "
            f"{_cause(model, logits.dtype)}"
        )

    with acting(model) as actor:
        actor.hook(model, None, begin, before=True)
        for index, stage in enumerate(stages):
            # the final norm of a trace may be called in any thread
            actor.hook(stage, None, look_into(index), before=True, shared=stage is norm)
        actor.hook(model, None, end)
        yield


def _extremes(numbers: Tensor) -> Tensor:
    """float32 [2], the smallest and the largest; both are NaN where one number is."""
    return torch.stack(torch.aminmax(numbers)).float()


def _cause(model: nn.Module, dtype: torch.dtype) -> str:
    if (bad := nonfinite_weight(model)) is not None:
        return f"its weight {bad[0]} is not finite: load the model again"
    if torch.float16 in {dtype, *(weight.dtype for weight in model.parameters())}:
        return (
            "float16 overflows: load it with dtype='bfloat16' or 'float32', unless it is a hook or "
            "an intervention that made it"
        )
    return (
        "all weights are finite, so a hook or an intervention made it, or they are so large that "
        f"{str(dtype).removeprefix('torch.')} overflows"
    )
