"""Train the demo model on the CPU; can be stopped and resumed at every checkpoint."""

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer

from demo import copying_start
from demo.batches import Batch, batches, long_batches
from demo.mixture import CHAT, CHAT_AT_THE_END, documents, long_documents
from demo.model import Llama, Shape
from demo.muon import Muon
from demo.tokenizer import load_or_train

SEED = 1
STEPS = 5600
END = 3800  # the step from which on the text is the mixture for the end, and the learning rate begins anew
WARMUP_STEPS = 20
DECAY_FROM = 0.3  # of the steps before the end; from there the learning rate falls to zero in a line
END_RATE = 0.4  # where it begins anew, to fall to zero once more
SIZES = [(12, 256), (6, 512)]  # rows and length of a batch; about 3,000 tokens
LONG_EVERY, LONG_ROWS, LONG_LENGTH = 16, 2, 1792  # now and then a batch of long chats
MUON_RATE, ADAM_RATE, WEIGHT_DECAY = 8e-4, 3e-3, 0.1
BLOCK = 100  # steps between checkpoints; each block draws from its own random stream, so that resuming is exact


def rate_factor(step: int) -> float:
    """The learning rate's part of the highest: it warms up, stays, and falls; and the same, lower, at the end."""
    if step >= END:
        return END_RATE * min(1.0, (step - END + 1) / WARMUP_STEPS, (STEPS - step) / (STEPS - END))
    return min(1.0, (step + 1) / WARMUP_STEPS, (END - step) / (END * (1 - DECAY_FROM)))


def block_batches(block: int, tokenizer: Tokenizer) -> Iterator[Batch]:
    """The batches of one block of steps."""
    chat = CHAT_AT_THE_END if block * BLOCK >= END else CHAT
    short = batches(documents(Random(f"{SEED} {block}"), chat), tokenizer, SIZES)
    long = long_batches(long_documents(Random(f"{SEED} {block} long")), tokenizer, LONG_ROWS, LONG_LENGTH)
    for step in range(BLOCK):
        yield next(long) if step % LONG_EVERY == LONG_EVERY - 1 else next(short)


class Training:
    """The model, its two optimizers, and where they are."""

    def __init__(self, shape: Shape) -> None:
        torch.manual_seed(SEED)
        self.model = Llama(shape)
        copying_start.install(self.model)
        matrices = [p for p in self.model.blocks.parameters() if p.ndim == 2]
        others = [self.model.embedding.weight] + [p for p in self.model.parameters() if p.ndim == 1]
        self.optimizers: list[tuple[torch.optim.Optimizer, float]] = [
            (Muon(matrices, MUON_RATE, weight_decay=WEIGHT_DECAY), MUON_RATE),
            (torch.optim.AdamW(others, ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0), ADAM_RATE),
        ]
        self.step = 0
        self.seconds = 0.0
        self.learned_tokens = 0
        self.read_tokens = 0

    def save(self, path: Path) -> None:
        """Write everything, atomically."""
        state = {
            "shape": self.model.shape.as_dict(),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer, _ in self.optimizers],
            "counters": (self.step, self.seconds, self.learned_tokens, self.read_tokens),
        }
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def load(self, path: Path) -> None:
        """Go on where `save` was."""
        state = torch.load(path)
        self.model.load_state_dict(state["model"])
        for (optimizer, _), saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seconds, self.learned_tokens, self.read_tokens = state["counters"]

    def learn(self, batch: Batch) -> float:
        """One step; returns the loss."""
        loss = self.model.loss(batch.tokens, batch.targets, batch.mask)
        loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer, peak in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * rate_factor(self.step)
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.learned_tokens += int((batch.targets >= 0).sum())
        self.read_tokens += batch.tokens.numel()
        return float(loss.detach())


def train(folder: Path, resume: bool) -> None:
    """Train, leaving `checkpoint.pt` and `loss.csv` in the folder."""
    tokenizer = load_or_train(folder / "tokenizer.json", SEED)
    training = Training(Shape(vocabulary=tokenizer.get_vocab_size()))
    checkpoint = folder / "checkpoint.pt"
    if resume and checkpoint.exists():
        training.load(checkpoint)
    with open(folder / "loss.csv", "a" if training.step else "w", newline="") as file:
        log = csv.writer(file)
        while training.step < STEPS:
            started = time.monotonic()
            losses = [training.learn(batch) for batch in block_batches(training.step // BLOCK, tokenizer)]
            training.seconds += time.monotonic() - started
            first = training.step - len(losses)
            log.writerows((first + i, loss) for i, loss in enumerate(losses))
            file.flush()
            training.save(checkpoint)
            print(
                f"step {training.step}/{STEPS} loss {sum(losses[-50:]) / 50:.4f} "
                f"{training.read_tokens / 1e6:.1f} M tokens {training.seconds / 60:.1f} min",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo/build"), help="for checkpoint, log and tokenizer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    train(arguments.folder, arguments.resume)
