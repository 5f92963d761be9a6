"""How likely an answer is: the log-probabilities of its tokens after a prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.open import Images
from llavit_lens.vlm.hooks import Hook, Names
from llavit_lens.vlm.length import check_length
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM, require_vlm

Answer = str | Sequence[int] | Tensor
"""A text, exactly as it goes on from the prompt, or token ids."""


def answer_log_prob(vlm: VLM, image: Images, prompt: str, answer: Answer) -> float:
    """log p(answer | image, prompt) in nats, summed over the answer's tokens (teacher forced).

    The tokens are those that the tokenizer makes of prompt and answer together, without those of
    the prompt (see `answer_tokens`). A text does not include the end of the answer: to count it,
    give ids that end with the end token.

    Raises:
        ImageError, ConfigurationError: as `VLM.trace` and `answer_tokens`.
    """
    require_vlm(vlm)
    prepared = vlm.prepare(image, prompt)
    return float(log_prob_of_tokens(vlm, prepared, answer_tokens(vlm, prepared, answer)))


def answer_tokens(vlm: VLM, prompt: Prompt, answer: Answer) -> Tensor:
    """Ids [A] of an answer: the tokens of prompt + answer without the prompt's, int64.

    So the answer after 'ASSISTANT:' is ' dog', and after a chat template that ends with a newline
    it is 'dog'. Ids are taken as they are.

    Raises:
        ConfigurationError: an empty answer; one that holds the image token; or one that
            begins within the prompt's last token.
    """
    if not isinstance(answer, str):
        ids = torch.as_tensor(answer, dtype=torch.long, device="cpu").flatten()
    else:
        # without a start token, which stands before the prompt in both
        before, both = (
            vlm.tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (prompt.text, prompt.text + answer)
        )
        if both[: len(before)] != before:
            raise ConfigurationError(
                f"{answer!r} merges into one token with the end of the prompt, "
                f"{prompt.text[-12:]!r}: move spaces from the prompt's end to the answer's start"
            )
        ids = torch.tensor(both[len(before) :], dtype=torch.long, device="cpu")
    if len(ids) == 0:
        raise ConfigurationError("the answer is empty: give a text of at least one token")
    vlm.check_answer(ids, answer)
    return ids


@torch.no_grad()
def log_prob_of_tokens(
    vlm: VLM,
    prompt: Prompt,
    answer: Tensor,
    copies: int = 1,
    fwd_hooks: Sequence[tuple[Names, Hook]] | None = None,
) -> Tensor:
    """log p(answer | prompt) in nats, float64 [copies]: that of each of several equal rows.

    Rows differ only where hooks on the model make them differ.

    Args:
        answer: ids [A].
        copies: rows of the pass.
        fwd_hooks: as in `VLM.hooks`.
    """
    check_length(vlm.model.config, prompt.length + len(answer))
    # the state at a token says what comes next, so the last one's is not needed
    logits: Tensor = vlm.forward(
        prompt,
        answer=answer,
        copies=copies,
        logits_to_keep=len(answer) + 1,
        fwd_hooks=fwd_hooks,
    ).logits
    log_probabilities = logits[:, :-1].float().log_softmax(-1)
    index = answer.to(logits.device)[None, :, None].expand(copies, -1, 1)
    return log_probabilities.gather(2, index)[..., 0].double().sum(1).cpu()
