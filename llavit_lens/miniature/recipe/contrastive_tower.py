"""The small vision tower: a CLIP ViT pretrained on image-caption pairs, and on nothing else.

Two contrastive losses. One is CLIP's: the class token against a caption encoded by a small text
transformer. The other is multi-instance, at the patches: a word of the caption must be found on
some patch of the image, the words of the other captions on none. No label of any patch is used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

from llavit_lens.miniature.world.scenes import PATCH, SIZE


def tower_config(width: int = 128, layers: int = 6) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        image_size=SIZE,
        patch_size=PATCH,
        projection_dim=width,
        initializer_factor=1.0,
    )


class ContrastiveTower(nn.Module):
    """A vision tower and what its pretraining needs beside it: a text encoder and word embeddings.

    `word_ids` are the words of captions that are informative (frequent ones carry nothing).
    Forward: pixel_values [B, 3, SIZE, SIZE], input_ids [B, T] right-padded, attention_mask [B, T],
    words [B, len(word_ids)] bool: which of the words the caption holds. Returns {"loss": scalar}.
    """

    def __init__(self, config: CLIPVisionConfig, vocabulary: int, words: int, text_layers: int = 1):
        super().__init__()
        width = config.hidden_size
        self.vision = CLIPVisionModel(config)
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=vocabulary,
                hidden_size=width,
                intermediate_size=2 * width,
                num_hidden_layers=text_layers,
                num_attention_heads=config.num_attention_heads,
                max_position_embeddings=128,
                projection_dim=width,
                bos_token_id=0,
                eos_token_id=1,
            )
        )
        for model in (self.vision, self.text):
            model.set_attn_implementation("eager")
        self.image_projection = nn.Linear(width, width, bias=False)
        self.text_projection = nn.Linear(width, width, bias=False)
        self.patch_norm = nn.LayerNorm(width)
        self.word_embeddings = nn.Linear(width, words)
        nn.init.normal_(self.word_embeddings.weight, std=width**-0.5)
        nn.init.constant_(self.word_embeddings.bias, -4.0)  # most words are on no patch
        self.logit_scale = nn.Parameter(torch.tensor(2.5))

    def forward(
        self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, words: Tensor
    ) -> dict:
        vision = self.vision(pixel_values)
        text = self.text(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None]
        caption = self.text_projection((text * mask).sum(1) / mask.sum(1))
        contrastive = self._clip(self.image_projection(vision.pooler_output), caption)
        patches = self.patch_norm(vision.last_hidden_state[:, 1:])
        multi_instance = self._multi_instance(self.word_embeddings(patches).float(), words)
        return {
            "loss": 0.3 * contrastive + multi_instance,
            "contrastive": contrastive,
            "multi_instance": multi_instance,
        }

    def _clip(self, image: Tensor, text: Tensor) -> Tensor:
        image, text = F.normalize(image.float(), dim=-1), F.normalize(text.float(), dim=-1)
        logits = image @ text.T * self.logit_scale.exp().clamp(max=100)
        same = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2

    @staticmethod
    def _multi_instance(logits: Tensor, words: Tensor) -> Tensor:
        """Binary cross-entropy of 'the caption holds this word', from patch logits [B, N, W].

        Pooled in two ways: a smooth maximum finds the word's best patch; the mean of the best four
        asks that several patches of a thing name it, not only its most typical one.
        """
        target = words.float()
        smooth = torch.logsumexp(2 * logits, 1) / 2
        several = logits.topk(4, dim=1).values.mean(1)
        losses = [
            F.binary_cross_entropy_with_logits(s, target, reduction="none")
            for s in (smooth, several)
        ]
        return torch.stack(losses).sum(2).mean()
