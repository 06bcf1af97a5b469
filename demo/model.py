"""A Llama in one screen, with the layout that llama.cpp's `llama` architecture expects.

Own code rather than Transformers' because the vocabulary projection, a good part of the cost at this size, is
only computed where there is something to learn, and because rotary pairs are adjacent as in llama.cpp, so that
the export copies weights as they are.
"""

from dataclasses import asdict, dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """The sizes of the model; rows are multiples of 256, so that every llama.cpp quantization fits."""

    vocabulary: int = 3072
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    hidden: int = 512
    context: int = 2048
    rope_base: float = 1_000_000.0
    norm_eps: float = 1e-5

    @property
    def head_width(self) -> int:
        """Channels per attention head."""
        return self.width // self.heads

    def as_dict(self) -> dict[str, float]:
        """For a checkpoint."""
        return asdict(self)


def rotary_angles(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, [length, head_width / 2]."""
    frequencies = shape.rope_base ** (-torch.arange(0, shape.head_width, 2).float() / shape.head_width)
    angles = torch.outer(torch.arange(length).float(), frequencies)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of adjacent pairs; x is [batch, heads, length, head_width]."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


class Block(nn.Module):
    """Attention and a gated feed-forward, each behind an RMS norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_width = shape.kv_heads * shape.head_width
        self.attention_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        self.q = nn.Linear(shape.width, shape.width, bias=False)
        self.k = nn.Linear(shape.width, kv_width, bias=False)
        self.v = nn.Linear(shape.width, kv_width, bias=False)
        self.o = nn.Linear(shape.width, shape.width, bias=False)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """[batch, length, width] to the same; `mask` [batch, 1, length, length] is true where to look."""
        batch, length, _ = x.shape
        h = self.attention_norm(x)
        q = rotate(self.q(h).view(batch, length, self.shape.heads, -1).transpose(1, 2), cos, sin)
        k = rotate(self.k(h).view(batch, length, self.shape.kv_heads, -1).transpose(1, 2), cos, sin)
        v = self.v(h).view(batch, length, self.shape.kv_heads, -1).transpose(1, 2)
        groups = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        x = x + self.o(seen.transpose(1, 2).reshape(batch, length, -1))
        h = self.feed_forward_norm(x)
        added: Tensor = self.down(F.silu(self.gate(h)) * self.up(h))
        return x + added


class Llama(nn.Module):
    """The whole model; the embedding is also the output projection."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.layers:
            nn.init.zeros_(block.o.weight)
            nn.init.zeros_(block.down.weight)

    @property
    def layers(self) -> list[Block]:
        """The blocks from first to last."""
        return cast("list[Block]", list(self.blocks))

    def states(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """The final hidden states of [batch, length] tokens."""
        cos, sin = rotary_angles(self.shape, tokens.shape[1])
        x = self.embedding(tokens)
        for block in self.layers:
            x = block(x, cos, sin, mask)
        normed: Tensor = self.norm(x)
        return normed

    def loss(self, tokens: Tensor, targets: Tensor, mask: Tensor | None) -> Tensor:
        """Mean cross entropy over the targets that are not negative."""
        states = self.states(tokens, mask)
        learned = targets >= 0
        return F.cross_entropy(states[learned] @ self.embedding.weight.T, targets[learned])
