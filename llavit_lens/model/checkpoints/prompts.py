"""Chat templates of LLaVA's own code, which its checkpoints do not carry.

LLaVA picks a conversation by the name of the folder; here the decoder family decides, as in the
released models: Vicuna for Llama, `mistral_instruct` for Mistral, ChatML for Qwen. Llama decoders
differ (LLaVA-1.6-34B uses ChatML, LLaVA-Llama-3 uses Llama 3), and their tokenizers show which. The
images of a message go before its text, each followed by a newline.
"""

from __future__ import annotations

from typing import Any

from llavit_lens.errors import CheckpointError

_CONTENT = (
    "{%- macro show(content) -%}"
    "{%- if content is string -%}{{ content }}{%- else -%}"
    "{%- for part in content if part['type'] == 'image' -%}{{ '<image>\\n' }}{%- endfor -%}"
    "{%- for part in content if part['type'] == 'text' -%}{{ part['text'] }}{%- endfor -%}"
    "{%- endif -%}{%- endmacro -%}"
)
_VICUNA = (
    _CONTENT + '{{ "A chat between a curious user and an artificial intelligence assistant. '
    "The assistant gives helpful, detailed, and polite answers to the user's questions. \" }}"
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{ 'USER: ' + show(message['content']) + ' ' }}"
    "{%- elif message['role'] == 'assistant' -%}"
    "{{ 'ASSISTANT: ' + show(message['content']) + '</s>' }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"
)
_MISTRAL = (
    _CONTENT + "{%- for message in messages -%}"
    "{%- if message['role'] == 'user' -%}{{ '[INST] ' + show(message['content']) + ' [/INST]' }}"
    "{%- elif message['role'] == 'assistant' -%}{{ ' ' + show(message['content']) + ' </s>' }}"
    "{%- endif -%}{%- endfor -%}"
)
_CHATML = (
    _CONTENT + "{%- if messages[0]['role'] != 'system' -%}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{%- endif -%}"
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + show(message['content']) + '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)

_BY_FAMILY = {"mistral": _MISTRAL, "qwen2": _CHATML, "qwen3": _CHATML}
_IMAGE = "<image>"


def chat_template(name: str, family: str, tokenizer: Any) -> str | None:
    """The template of a checkpoint; None for a family without one: the plain `USER: … ASSISTANT:`.

    Args:
        name: of the checkpoint, for messages.
        family: of its decoder.
        tokenizer: of the language model; decides for a Llama.

    Raises:
        CheckpointError: a Llama of another conversation, with a template that holds no image.
    """
    if family != "llama":
        return _BY_FAMILY.get(family)
    tokens = tokenizer.get_vocab()
    if "<|im_start|>" in tokens:
        return _CHATML
    template = tokenizer.chat_template
    if template is None and "<|start_header_id|>" not in tokens:
        return _VICUNA
    if isinstance(template, str) and _holds_an_image(tokenizer):
        return template
    raise CheckpointError(
        f"{name}: its tokenizer is not Vicuna's, and has no chat template that holds an image; put "
        "one that writes <image> into its tokenizer_config.json (chat_template)"
    )


def _holds_an_image(tokenizer: Any) -> bool:
    """Whether the tokenizer's template writes `<image>` once for a message with one."""
    content = [{"type": "image"}, {"type": "text", "text": "Why?"}]
    try:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
    except Exception:  # a template may raise anything over contents that are no string
        return False
    # a template made for text alone writes the list itself
    return prompt.count(_IMAGE) == 1 and "'type'" not in prompt
