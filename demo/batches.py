"""Documents as batches of token rows: several documents in a row, none of which sees another."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from demo.dialogue import FIM_MIDDLE, TURN_END, TURN_START

IGNORED = -1


@dataclass(frozen=True)
class Batch:
    """Inputs and targets [rows, length]; targets are `IGNORED` where there is nothing to learn."""

    tokens: Tensor
    targets: Tensor
    mask: Tensor | None


class Learned:
    """Which tokens of a document the model is to learn to say."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.turn_start = tokenizer.token_to_id(TURN_START)
        self.turn_end = tokenizer.token_to_id(TURN_END)
        self.fim_middle = tokenizer.token_to_id(FIM_MIDDLE)
        self.heading = tokenizer.encode("assistant\n").ids

    def flags(self, ids: list[int], last_answer_only: bool) -> list[bool]:
        """True for the assistant's words and their end; for a hole, what fills it; for raw text, all."""
        if self.fim_middle in ids:
            start = ids.index(self.fim_middle)
            return [i > start for i in range(len(ids))]
        if self.turn_start not in ids:
            return [True] * len(ids)
        flags = [False] * len(ids)
        starts = [i for i, token in enumerate(ids) if token == self.turn_start]
        answers = [i + 1 + len(self.heading) for i in starts if ids[i + 1 : i + 1 + len(self.heading)] == self.heading]
        for start in answers[-1:] if last_answer_only else answers:
            end = ids.index(self.turn_end, start) if self.turn_end in ids[start:] else len(ids) - 1
            flags[start : end + 1] = [True] * (end + 1 - start)
        return flags


Example = tuple[list[int], list[int]]  # tokens, and what each is followed by or `IGNORED`


def examples(documents: Iterator[tuple[str, bool]], tokenizer: Tokenizer, longest: int) -> Iterator[Example]:
    """Documents as tokens and targets, cut at the longest length."""
    learned = Learned(tokenizer)
    for text, last_answer_only in documents:
        ids = tokenizer.encode(text).ids[: longest + 1]
        flags = learned.flags(ids, last_answer_only)
        wanted = [token if flag else IGNORED for token, flag in zip(ids, flags, strict=True)]
        yield ids[:-1], wanted[1:]


class Pool:
    """Examples that wait until they fill a batch; they are packed each time with the first that fits.

    Examples of one row do not see each other.
    """

    def __init__(self, rows: int, length: int) -> None:
        self.rows, self.length = rows, length
        self.waiting: list[Example] = []
        self.waiting_tokens = 0
        self.earlier = torch.ones(length, length, dtype=torch.bool).tril()

    def add(self, example: Example) -> None:
        """Let an example wait."""
        self.waiting.append(example)
        self.waiting_tokens += len(example[0])

    @property
    def is_full(self) -> bool:
        """Whether there is enough to fill a batch without much padding."""
        return self.waiting_tokens >= (self.rows + 2) * self.length

    def take_batch(self) -> Batch:
        """Pack a batch."""
        tokens = torch.zeros(self.rows, self.length, dtype=torch.long)
        targets = torch.full((self.rows, self.length), IGNORED)
        owner = torch.zeros(self.rows, self.length, dtype=torch.long)
        for row in range(self.rows):
            filled, number = 0, 0
            while True:
                room = self.length - filled
                fitting = next((i for i, (ids, _) in enumerate(self.waiting) if len(ids) <= room), None)
                if fitting is None:
                    break
                ids, wanted = self.waiting.pop(fitting)
                self.waiting_tokens -= len(ids)
                number += 1
                end = filled + len(ids)
                tokens[row, filled:end] = torch.tensor(ids)
                targets[row, filled:end] = torch.tensor(wanted)
                owner[row, filled:end] = number
                filled = end
        mask = ((owner[:, :, None] == owner[:, None, :]) & self.earlier).unsqueeze(1)
        return Batch(tokens, targets, mask)


def batches(
    documents: Iterator[tuple[str, bool]], tokenizer: Tokenizer, sizes: list[tuple[int, int]]
) -> Iterator[Batch]:
    """Batches of the given sizes (rows, length), shortest rows first; each document goes into the shortest that holds it.

    Short rows for short documents, because attention over a long row costs more.
    """
    pools = [Pool(rows, length) for rows, length in sizes]
    for example in examples(documents, tokenizer, pools[-1].length):
        pool = next(pool for pool in pools if len(example[0]) <= pool.length)
        pool.add(example)
        if pool.is_full:
            yield pool.take_batch()


def long_batches(
    documents: Iterator[tuple[str, bool]], tokenizer: Tokenizer, rows: int, length: int
) -> Iterator[Batch]:
    """Every row is one long document."""
    long = examples(documents, tokenizer, length)
    while True:
        tokens = torch.zeros(rows, length, dtype=torch.long)
        targets = torch.full((rows, length), IGNORED)
        for row in range(rows):
            ids, wanted = next(long)
            tokens[row, : len(ids)] = torch.tensor(ids)
            targets[row, : len(ids)] = torch.tensor(wanted)
        yield Batch(tokens, targets, None)
