"""Start the network with a rough copying circuit instead of waiting for one to emerge.

Copying rests on induction (Olsson et al., "In-context Learning and Induction Heads", 2022): heads that look at the
tokens just before, and in a later layer a head that looks for the place where the same tokens came before, and copies
what stands there. Gradient descent finds this late, after millions of tokens that a CPU does not have. Here the
first weights already hold it, roughly, for the last two tokens; training sharpens it and builds on it.
"""

import torch
from torch import Tensor

from demo.model import Llama

CONSTANT = 0  # a channel of the embedding that is the same for every token
TRACE = 32  # channels that hold the token before, and as many for the one before that; both begin empty
EMBEDDING_SCALE = 0.02
FAST = 6  # the rotary pairs that tell neighbouring positions apart
LOOK_BACK = 2.2  # how sharply the first heads look at one position
COPY_GAIN = 3.0  # how much louder than the current token the copied one is
MATCH = 1.9  # how sharply the later heads look for the same tokens


def _orthonormal(rows: int, columns: int) -> Tensor:
    """A random matrix [rows, columns] whose rows are perpendicular and of length one."""
    basis: Tensor = torch.linalg.qr(torch.randn(columns, rows))[0]
    return basis.T


@torch.no_grad()
def install(model: Llama) -> None:
    """Write the circuit into a fresh model: layer 0 looks back, layer 1 matches and copies."""
    shape = model.shape
    content = shape.width - 2 * TRACE
    embedding = model.embedding.weight
    embedding.normal_(std=EMBEDDING_SCALE)
    embedding[:, content:] = 0
    embedding[:, CONSTANT] = 4 * EMBEDDING_SCALE
    trace = _orthonormal(TRACE, content)
    _look_back(model, trace)
    _match_and_copy(model, trace)


def _look_back(model: Llama, trace: Tensor) -> None:
    """Layer 0: head 0 writes down the token before, head 1 the one before that.

    Queries and keys are constants whose rotary angles agree at that distance.
    """
    head = model.shape.head_width
    content = model.shape.width - 2 * TRACE
    layer = model.layers[0]
    layer.k.weight[:head] = 0
    layer.k.weight[0 : 2 * FAST : 2, CONSTANT] = LOOK_BACK
    layer.v.weight[:head] = 0
    layer.v.weight[:TRACE, :content] = trace
    frequencies = model.shape.rope_base ** (-torch.arange(FAST) / (head // 2))
    for index, distance in enumerate((1, 2)):
        query = layer.q.weight[index * head : (index + 1) * head]
        query.zero_()
        query[0 : 2 * FAST : 2, CONSTANT] = LOOK_BACK * torch.cos(distance * frequencies)
        query[1 : 2 * FAST : 2, CONSTANT] = -LOOK_BACK * torch.sin(distance * frequencies)
        written = slice(content + index * TRACE, content + (index + 1) * TRACE)
        layer.o.weight[written, index * head : index * head + TRACE] = EMBEDDING_SCALE * torch.eye(TRACE)


def _match_and_copy(model: Llama, trace: Tensor) -> None:
    """Layer 1, the first head of each group: find where the last two tokens were, copy what followed.

    The slow half of the rotary pairs hardly turns, so it can compare content at any distance.
    """
    head, group = model.shape.head_width, model.shape.heads // model.shape.kv_heads
    content = model.shape.width - 2 * TRACE
    layer = model.layers[1]
    part = head // 4
    latest, earlier = slice(head // 2, head // 2 + part), slice(head // 2 + part, head)
    for kv in range(model.shape.kv_heads):
        q = layer.q.weight[kv * group * head : (kv * group + 1) * head]
        k = layer.k.weight[kv * head : (kv + 1) * head]
        v = layer.v.weight[kv * head : (kv + 1) * head]
        for weight in (q, k, v):
            weight.zero_()
        compared = torch.arange(part) + kv * part % TRACE
        one_back, two_back = (
            torch.eye(model.shape.width)[content + compared],
            torch.eye(model.shape.width)[content + TRACE + compared],
        )
        q[latest, :content] = MATCH * trace[compared]
        k[latest] = MATCH * one_back
        q[earlier] = MATCH * one_back
        k[earlier] = MATCH * two_back
        copied = _orthonormal(head, content)
        v[:, :content] = copied
        layer.o.weight[:content, kv * group * head : (kv * group + 1) * head] = COPY_GAIN * EMBEDDING_SCALE * copied.T
