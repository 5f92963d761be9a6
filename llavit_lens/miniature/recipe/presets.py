"""How large the miniature is and how long it trains, by preset."""

from __future__ import annotations

from dataclasses import dataclass

from llavit_lens.errors import ConfigurationError
from llavit_lens.training.run import Schedule
from llavit_lens.training.stages import PROJECTOR, VISUAL_QKV


@dataclass(frozen=True)
class Preset:
    """Sizes and schedules.

    Attributes:
        name: as options and files spell it.
        scenes: how many the corpus holds.
        tower, llm: schedules of the pretrainings, which all variants share.
        stage_1, stage_2: schedules of the paper's two stages.
        width: of the tower and the language model; both have `layers` layers.
        scored_scenes: how many held-out scenes the finished model is scored on.
    """

    name: str
    scenes: int
    tower: Schedule
    llm: Schedule
    stage_1: Schedule
    stage_2: Schedule
    width: int = 128
    layers: int = 6
    scored_scenes: int = 100


def _preset(
    name: str,
    scenes: int,
    steps: tuple[int, int, int, int],
    scale: int = 1,
    width: int = 128,
    scored_scenes: int = 100,
) -> Preset:
    tower, llm, stage_1, stage_2 = steps
    slower = (128 / width) ** 0.5
    return Preset(
        name=name,
        scenes=scenes,
        tower=Schedule(tower, 64 * scale, 1e-3 * slower, weight_decay=0.05),
        llm=Schedule(llm, 32 * scale, 2e-3 * slower, weight_decay=0.05, beta2=0.95),
        stage_1=Schedule(stage_1, 32 * scale, 2e-3, {PROJECTOR: 2e-3, VISUAL_QKV: 1e-3}),
        stage_2=Schedule(stage_2, 32 * scale, 5e-4, {PROJECTOR: 6e-4, VISUAL_QKV: 1e-3}),
        width=width,
        scored_scenes=scored_scenes,
    )


# cpu, with bf16: tower 21 minutes on one core, language model 17 on two; a variant's two stages 13
# on two, or 23 to 47 on one core, beside other work. gpu: not run yet. smoke: checks in seconds
# that everything runs; it learns nothing.
PRESETS = {
    preset.name: preset
    for preset in (
        _preset("cpu", 40_000, (6_000, 4_000, 800, 1_600)),
        _preset("gpu", 200_000, (40_000, 40_000, 4_000, 12_000), scale=4, width=256),
        _preset("smoke", 60, (4, 4, 3, 3), scored_scenes=3),
    )
}


def preset_named(name: str) -> Preset:
    if name not in PRESETS:
        raise ConfigurationError(f"no preset {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]
