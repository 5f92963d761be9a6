"""Chat templates of LLaVA's own code, which its checkpoints do not carry.

LLaVA picks a conversation by the name of the folder; here the decoder family decides, as in the
released models: Vicuna for Llama, `mistral_instruct` for Mistral, ChatML for Qwen. The images of a
message go before its text, each followed by a newline.
"""

from __future__ import annotations

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

CHAT_TEMPLATES: dict[str, str] = {
    "llama": _VICUNA,
    "mistral": _MISTRAL,
    "qwen2": _CHATML,
    "qwen3": _CHATML,
}
"""By decoder family; other families get none, and the plain `USER: … ASSISTANT:`."""
