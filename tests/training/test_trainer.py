"""Loss, learning rates, stages, and continuing after an interruption."""

from itertools import count
from types import SimpleNamespace

import pytest
import torch
from tiny import PROMPT, tiny_llavit, tiny_tokenizer
from torch.utils.data import Dataset
from transformers import Qwen2Config, Qwen2ForCausalLM, TrainerCallback

from llavit_lens.training import run as runs
from llavit_lens.training.collate import pad_examples
from llavit_lens.training.conversations import IGNORE, Encoded
from llavit_lens.training.run import Schedule, run
from llavit_lens.training.stages import FINETUNE, PRETRAIN
from llavit_lens.training.trainer import RecipeTrainer, target_loss

VOCABULARY = 50
BUDGET = 2e-6  # a few float32 roundings of a loss of about 4


def tiny_llm() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    return Qwen2ForCausalLM(config)


class Numbers(Dataset):
    """Example i is a function of i."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> Encoded:
        ids = [(index * 7 + j * j) % VOCABULARY for j in range(5 + index % 3)]
        return Encoded(ids, [IGNORE, *ids[1:]])


def collate(examples: list[Encoded]) -> dict:
    return pad_examples(examples, 0)


def test_target_loss_equals_the_models_own_loss():
    model = tiny_llm()
    batch = collate([Numbers()[i] for i in range(4)])
    expected = model(**batch).loss
    assert abs(target_loss(model, batch) - expected).item() < BUDGET
    n = (batch["labels"][:, 1:] != IGNORE).sum()
    assert abs(target_loss(model, batch, num_targets=2 * n) - expected / 2).item() < BUDGET


def test_target_loss_of_a_llavit_with_an_image_equals_its_own_loss(llavit, processor, image):
    model = llavit.eval()
    inputs = processor(images=image, text=PROMPT, return_tensors="pt")
    inputs["labels"] = torch.where(inputs["mm_token_type_ids"] == 1, IGNORE, inputs["input_ids"])
    with torch.no_grad():
        assert abs(target_loss(model, inputs) - model(**inputs).loss).item() < BUDGET


@pytest.mark.parametrize(
    ("stage", "frozen"),
    [(PRETRAIN, ("vision_tower", "language_model", "lm_head")), (FINETUNE, ("vision_tower",))],
)
def test_a_stage_trains_exactly_what_the_paper_says(stage, frozen):
    model = tiny_llavit()
    stage.freeze(model)
    for name, parameter in model.named_parameters():
        expected = "_proj_visual" in name or not any(part in name for part in frozen)
        assert parameter.requires_grad == expected, name


def test_learning_rates_go_by_name_and_frozen_parameters_stay_out(tmp_path):
    from transformers import TrainingArguments

    model = tiny_llavit()
    PRETRAIN.freeze(model)
    args = TrainingArguments(str(tmp_path), learning_rate=3e-4, use_cpu=True, report_to=[])
    trainer = RecipeTrainer(model, args, learning_rates=PRETRAIN.learning_rates)
    rate = {
        id(p): group["lr"]
        for group in trainer.create_optimizer().param_groups
        for p in group["params"]
    }
    for name, parameter in model.named_parameters():
        if "multi_modal_projector" in name:
            assert rate.pop(id(parameter)) == 1e-3
        elif "_proj_visual" in name:
            assert rate.pop(id(parameter)) == 2e-4
    assert not rate


class StopAt(TrainerCallback):
    """Fails the run in the middle, as a lost machine would."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.long
def test_an_interrupted_run_ends_with_the_same_weights_and_counts_its_time(tmp_path, monkeypatch):
    """By a clock that goes on by a minute at each look: at the start, 4 checkpoints, the end."""
    monkeypatch.setattr(runs, "time", SimpleNamespace(monotonic=count(0, 60).__next__))
    schedule = Schedule(steps=8, batch=4, learning_rate=1e-2)
    whole = tiny_llm()
    history = run(whole, Numbers(), collate, tmp_path / "whole", schedule, "whole", 4)
    assert history.minutes == 5 and len(set(history.losses)) == 4

    broken = tiny_llm()
    original = RecipeTrainer.__init__

    def with_stop(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.add_callback(StopAt(5))

    monkeypatch.setattr(runs.RecipeTrainer, "__init__", with_stop)
    with pytest.raises(KeyboardInterrupt):
        run(broken, Numbers(), collate, tmp_path / "broken", schedule, "broken", 4)
    monkeypatch.setattr(runs.RecipeTrainer, "__init__", original)

    again = tiny_llm()
    assert run(again, Numbers(), collate, tmp_path / "broken", schedule, "again", 4) == history
    for name, expected in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], expected), name
    assert not torch.equal(whole.lm_head.weight, tiny_llm().lm_head.weight)


def test_stage_1_lowers_the_loss_and_changes_only_what_it_trains():
    """With a frozen random LLM a caption cannot be learned by heart, but its loss must fall."""
    model, tokenizer = tiny_llavit(), tiny_tokenizer()
    PRETRAIN.freeze(model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    image = model.config.image_token_id
    ids = [*[image] * 16, *tokenizer("a red square")["input_ids"]]
    labels = [IGNORE if i == image else i for i in ids]
    batch = {
        **collate([Encoded(ids, labels)]),
        "pixel_values": torch.randn(1, 3, 28, 28, generator=torch.manual_seed(0)),
    }
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    losses = []
    for _ in range(60):
        loss = target_loss(model, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    for name, value in model.state_dict().items():
        trained = "multi_modal_projector" in name or "_proj_visual.weight" in name
        if trained:
            assert not torch.equal(value, before[name]), name
        elif "_proj_visual" not in name:
            assert torch.equal(value, before[name]), name
