"""Training: Trainer, gradient checkpointing, bfloat16 autocast."""

from __future__ import annotations

from inspect import signature
from pathlib import Path

import pytest
import torch
from tiny import TABLE_ROWS, tiny_inputs, tiny_llavit
from torch import Tensor
from transformers import Trainer, TrainingArguments

from llavit_lens.model import LlavitForConditionalGeneration, LlavitProcessor

# transformers has two names for it, the new one first.
CHECKPOINTING = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in signature(TrainingArguments).parameters
)


def gradients(
    model: LlavitForConditionalGeneration, inputs: dict[str, Tensor]
) -> dict[str, Tensor]:
    model.zero_grad()
    model(**inputs, labels=inputs["input_ids"]).loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("row", ["no_visual_attention", "llavit"])
def test_gradient_checkpointing_changes_no_gradient(
    row: str, reentrant: bool, processor: LlavitProcessor
) -> None:
    model = tiny_llavit(**TABLE_ROWS[row]).train()
    model.model.vision_tower.requires_grad_(False)  # as the paper trains
    inputs = tiny_inputs(processor)
    expected = gradients(model, inputs)
    assert any("_proj_visual" in name for name in expected) == (row == "llavit")
    getattr(model, f"{CHECKPOINTING}_enable")({"use_reentrant": reentrant})
    assert getattr(model, f"is_{CHECKPOINTING}")
    checkpointed = gradients(model, inputs)
    assert checkpointed.keys() == expected.keys()
    for name in expected:
        assert torch.equal(checkpointed[name], expected[name]), name


@pytest.mark.parametrize("row", TABLE_ROWS)
def test_bfloat16_autocast_stays_close(row: str, processor: LlavitProcessor) -> None:
    """bfloat16 rounds to 2^-9; the loss (about log of the vocabulary) may move by 1 percent."""
    model = tiny_llavit(**TABLE_ROWS[row]).train()
    inputs = tiny_inputs(processor)
    exact = model(**inputs, labels=inputs["input_ids"]).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(**inputs, labels=inputs["input_ids"]).loss
    loss.backward()
    assert abs(loss.item() - exact.item()) <= 0.01 * exact.item()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.long
@pytest.mark.parametrize("checkpointing", [False, True])
def test_trainer_learns_and_reloads(
    checkpointing: bool, processor: LlavitProcessor, tmp_path: Path
) -> None:
    model = tiny_llavit(spread=False)
    before = model.model.language_model.layers[0].self_attn.q_proj_visual.weight.clone()
    inputs = tiny_inputs(processor)
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    examples = [
        {
            "input_ids": inputs["input_ids"][0],
            "attention_mask": inputs["attention_mask"][0],
            "mm_token_type_ids": inputs["mm_token_type_ids"][0],
            "labels": labels[0],
            "pixel_values": inputs["pixel_values"][0],
        }
    ] * 8
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=6,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        **{CHECKPOINTING: checkpointing},
        save_steps=6,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=examples)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.7 * losses[0]
    attention = model.model.language_model.layers[0].self_attn
    assert not torch.equal(attention.q_proj_visual.weight, before)
    assert not torch.equal(attention.q_proj_visual.weight, attention.q_proj.weight)

    again = LlavitForConditionalGeneration.from_pretrained(tmp_path / "checkpoint-6")
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
