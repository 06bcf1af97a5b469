"""Checkpoints of the Llama family and PEFT's LoRA adapters → GGUF files.

Needs the `convert` extra (`gguf`, `sentencepiece`); PyTorch only for checkpoints that are pickles.
"""
