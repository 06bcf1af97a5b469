"""Small tokenizers, trained on the spot, of the kinds that the Llama family has."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerFast

CORPUS = [
    "The quick brown fox jumps over the lazy dog. It's what they'll say, we've heard; I'M SURE.",
    "Paddock serves models: 1, 22, 333, 4444 and 55555 tokens a second, or 3.14159.",
    "def main(argument):\n    for i in range(100):\n        print(i, argument[i])\n\n\nif True:\n\treturn None\n",
    "Größe, Übermut und Maßstab; déjà vu, naïve façade. Привет, как дела? 你好，世界！こんにちは。",
    "https://example.org/path?query=1&other=two  spaces   and\ttabs\r\nand lines\n\n\n",
    "Hello hello HELLO Hello, world world wonderful words working worked worker.",
] * 4
TRICKY = [
    "",
    " ",
    "Hello world",
    "  two spaces before, two after  ",
    "It's we've I'LL THEY'RE don'T 's",
    "1 12 123 1234 12345 3.14 1,000,000 ٣٤٥ ½",
    "\n\n \n\t\n  x\r\n\r\ny \n",
    "a\u00a0b\u2003c\u3000d",
    "Größe ÜBERMUT élan Émile straße МОСКВА привет",
    "你好，世界！日本語のテキスト 한국어",
    "🦙🚀 😶\u200d🌫️ emoji ✅",
    "!!!??? ... --- ``` '''quoted''' \"x\" (a)[b]{c}/d\\e",
    "def f(x):\n    return x+1  # comment\n",
    "camelCaseWORDSmixed_with_under_scores",
    "x" * 60,
    "tail space ",
    "<not special> <0x41> <|nothing|>",
]
"""Texts that tokenizers of different kinds cut differently."""
MARKED = ["<|im_start|>user\nHello<|im_end|>\n", "a<think>b</think> c", "<|im_end|><|im_end|> x"]
"""Texts with special and other added tokens of `byte_level`."""

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
SEED_CODER = QWEN_2.replace(r"\p{N}|", r"\p{N}{1}|", 1).replace(
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+", " ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+"
)


def byte_level(
    folder: Path,
    regex: str | None,
    *,
    digits: bool = False,
    whole_words: bool = False,
    nfc: bool = False,
    bos: bool = False,
    template: str | None = None,
) -> PreTrainedTokenizerFast:
    """Train byte-level BPE and save it as Transformers does. `regex` None: GPT-2's own."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=whole_words))
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if regex is not None:
        steps.append(pre_tokenizers.Split(Regex(regex), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex is None))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<|bos|>", "<|im_start|>", "<|im_end|>")])
    tokenizer.add_tokens([AddedToken(text, special=False) for text in ("<think>", "</think>")])
    if bos:
        start = tokenizer.token_to_id("<|bos|>")
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", pair="<|bos|> $A <|bos|> $B", special_tokens=[("<|bos|>", start)]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|im_end|>")
    fast.chat_template = template
    fast.save_pretrained(folder)
    return fast


def sentencepiece_model(**options: Any) -> bytes:
    """Train a SentencePiece model as Llama 2's."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in CORPUS for line in text.split("\n")),
        model_writer=model,
        **{
            "model_type": "bpe",
            "vocab_size": 600,
            "byte_fallback": True,
            "character_coverage": 0.99,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
            "split_digits": True,
            "allow_whitespace_only_pieces": True,
            "minloglevel": 2,
        }
        | options,
    )
    return model.getvalue()


def llama_tokenizer(folder: Path, model: bytes, *, keep_model: bool, legacy: bool = True) -> LlamaTokenizer:
    """Save Llama 2's kind of tokenizer: tokenizer.json, and tokenizer.model too if it is to be kept."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "tokenizer.model").write_bytes(model)
    tokenizer = LlamaTokenizer.from_pretrained(folder, legacy=legacy, add_bos_token=True)
    tokenizer.save_pretrained(folder)
    if not keep_model:
        (folder / "tokenizer.model").unlink()
    return AutoTokenizer.from_pretrained(folder)


def tokenizer_json(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text())
    return found
