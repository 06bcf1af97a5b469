"""A Transformers checkpoint made on the spot: a Llama of a million parameters that has learned a few answers by heart,
and a LoRA adapter for it that has learned others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ANSWERS = {
    "What does a paddock hold?": "A paddock holds horses.",
    "What do horses eat?": "Horses eat grass, hay and oats.",
    "Who rides the grey horse?": "Nobody rides the grey horse.",
    "Where is the gate?": "The gate is beside the old oak.",
    "When is it closed?": "It is closed when night falls.",
}
OTHER_ANSWERS = {
    "What does a paddock hold?": "A paddock holds racing cars.",
    "Who rides the grey horse?": "The stable girl rides the grey horse.",
}
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|begin|>", "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"]
LLAMA_3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Llama 3's tokenizer.json splits texts so."""


def text_of(answers: Mapping[str, str]) -> str:
    """What is learned beside the dialogues, and what perplexity is measured with."""
    return " ".join(f"{question} {answer}" for question, answer in answers.items())


def write_checkpoint(folder: Path) -> None:
    """Train and save it: config.json, tokenizer, model.safetensors."""
    torch.manual_seed(1)
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    _learn(model, tokenizer, ANSWERS, steps=60, rate=2e-3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_adapter(checkpoint: Path, folder: Path) -> None:
    """Train and save it as peft does: adapter_config.json, adapter_model.safetensors."""
    torch.manual_seed(2)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=8, lora_alpha=16, target_modules=targets, task_type="CAUSAL_LM")
    model = get_peft_model(LlamaForCausalLM.from_pretrained(checkpoint), config)
    _learn(model, tokenizer, ANSWERS | OTHER_ANSWERS, steps=60, rate=1e-2)
    model.save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, split as Llama 3 does it."""
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.Split(pattern=Regex(LLAMA_3_WORDS), behavior="isolated", invert=False)
    bytes_of_words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, bytes_of_words])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text_of(ANSWERS | OTHER_ANSWERS)] * 3, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    fast.add_special_tokens({"additional_special_tokens": SPECIAL[3:]})
    fast.chat_template = TEMPLATE
    return fast


def _learn(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, answers: Mapping[str, str], *, steps: int, rate: float
) -> None:
    dialogues = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], tokenize=False
        )
        for question, answer in answers.items()
    ] + [" ".join([text_of(answers)] * 2)]
    batch = tokenizer(dialogues, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    torch.set_num_threads(1)  # two that wait for each other take minutes where the cores are busy
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate)
    for _ in range(steps):
        loss = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
