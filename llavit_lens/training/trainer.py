"""transformers' Trainer with what the recipe needs: rates by name, loss on targets only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Sampler, SequentialSampler
from transformers import Trainer

from llavit_lens.errors import ConfigurationError
from llavit_lens.training.conversations import IGNORE


def target_loss(
    model: Any, inputs: Mapping[str, Any], num_targets: Tensor | int | None = None
) -> Tensor:
    """Next-token cross-entropy that unembeds only the positions that have a target.

    With a large vocabulary and images in the sequence most logits would be computed for nothing.
    `model` is any transformers causal LM or image-text-to-text model (`.model`, `.lm_head`).
    Mean over targets, or sum over `num_targets` when gradients are accumulated.
    """
    labels = inputs["labels"]
    rest = {k: v for k, v in inputs.items() if k != "labels"}
    hidden = model.model(**rest, use_cache=False).last_hidden_state
    is_target = labels[:, 1:] != IGNORE
    logits = model.lm_head(hidden[:, :-1][is_target])
    targets = labels[:, 1:][is_target]
    if num_targets is None:
        return F.cross_entropy(logits.float(), targets)
    return F.cross_entropy(logits.float(), targets, reduction="sum") / num_targets


def refuse_several_devices(trainer: Any) -> None:
    """Raise ConfigurationError where gradients would have to be shared.

    The loss is computed by the model without what is wrapped around it, so nothing would share
    them: every process, or every replica of the model, would train on its own.
    """
    processes = [trainer.args.world_size, trainer.accelerator.num_processes]
    if distributed.is_available() and distributed.is_initialized():
        processes.append(distributed.get_world_size())
    several = {
        f"{max(processes)} processes": max(processes) > 1,
        f"{trainer.args.n_gpu} GPUs": trainer.args.n_gpu > 1,
        "DeepSpeed": trainer.is_deepspeed_enabled,
        "FSDP": trainer.is_fsdp_enabled,
        "a model that is wrapped for several devices": isinstance(
            trainer.model, nn.DataParallel | DistributedDataParallel
        ),
    }
    reasons = [what for what, is_there in several.items() if is_there]
    if reasons:
        raise ConfigurationError(
            "RecipeTrainer does not share gradients, so it cannot train with "
            f"{' and '.join(reasons)}: start one process by `python`, with CUDA_VISIBLE_DEVICES "
            "set to one GPU and without a DeepSpeed or FSDP configuration"
        )


class RecipeTrainer(Trainer):
    """Trainer for data that is in its order already, with learning rates by parameter name.

    `learning_rates` maps a part of a parameter's name to its rate; the first match counts, and
    parameters without one use `args.learning_rate`. Frozen parameters stay out of the optimizer.

    It trains in one process on one device. Raises ConfigurationError, when it is made and in every
    step, where there are more: see `refuse_several_devices`.
    """

    def __init__(
        self, *args: Any, learning_rates: Mapping[str, float] | None = None, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        refuse_several_devices(self)
        self.learning_rates = dict(learning_rates or {})
        self.model_accepts_loss_kwargs = False

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)  # type: ignore[arg-type]

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        if self.optimizer is None:
            groups: dict[float, list[nn.Parameter]] = {}
            assert isinstance(self.model, nn.Module)
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    rates = (r for part, r in self.learning_rates.items() if part in name)
                    groups.setdefault(next(rates, self.args.learning_rate), []).append(parameter)
            cls, options = Trainer.get_optimizer_cls_and_kwargs(self.args)
            options.pop("lr", None)
            decay = self.args.weight_decay
            self.optimizer = cls(
                [{"params": p, "lr": lr, "weight_decay": decay} for lr, p in groups.items()],
                lr=self.args.learning_rate,
                **options,
            )
        return self.optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Any,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Target loss; a model that computes its own loss (contrastive pretraining) returns it."""
        refuse_several_devices(self)
        if "labels" not in inputs:
            return model(**inputs)["loss"]
        # accelerate puts mixed precision around the model's forward, which is not called here
        with self.accelerator.autocast():
            return target_loss(self.accelerator.unwrap_model(model), inputs)
