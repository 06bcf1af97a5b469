"""The shared pool of KV cells: who holds which, what is reused, and what goes when room is short.

Live sequences compute in llama.cpp sequence ids below `n_parallel` (slots). A finished one's cells are parked under
a further id, where the prefix tree finds them; parked cells are *idle* when no live sequence shares them. Idle cells
cost every step (attention spans to the highest used cell), so they are bounded while anything is computed; beyond the
bound, or when room is short, the least recently used goes to RAM (`SpillStore`) and comes back by copy. Where copies
are cheap, those that share little go at once.

Policy only: the cells themselves move through `CellMemory`, so all of this is tested without a model.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from backends.base import AdapterSet

from .prefix_cache import PrefixTree, Tokens
from .sequence import Sequence
from .spill import SpillStore

MIN_PARKED = 8
"""Shorter prefixes are cheaper to compute again than to keep."""
WORTH_COPYING = 16
"""Tokens copied back from RAM, and given room, for one that need not be computed: no more than this."""


class CellMemory(Protocol):
    """What llama.cpp's memory can do, by sequence id. Positions are [p0, p1); p1 < 0 is the end."""

    def copy(self, source: int, target: int, p0: int, p1: int) -> None: ...
    def remove(self, seq: int, p0: int, p1: int) -> bool: ...

    def first_position(self, seq: int) -> int:
        """The first position from which on all cells are there, in the layers with a window too."""
        ...

    def save(self, seq: int) -> bytes | bytearray:
        """Its state, to be restored; empty if that can't be had."""
        ...

    def restore(self, seq: int, state: bytes | bytearray) -> bool: ...


@dataclass(frozen=True)
class MemoryTraits:
    """What a model's memory allows."""

    n_cells: int
    """Cells of the pool; also the longest sequence."""
    n_slots: int
    """Sequences that can be computed at a time."""
    parking_ids: range
    """Sequence ids beyond the slots, under which finished sequences are parked."""
    trimmable: bool = True
    """Whether a part of a sequence can be removed or copied (attention). If not (recurrent, hybrid), whole ones are."""
    cell_per_token: bool = True
    """Whether a token takes a cell. Not so in purely recurrent models, whose state has one size."""
    n_swa: int = 0
    """Sliding window of attention, tokens; 0: none. llama.cpp may take cells that lie outside of it for other tokens
    at any time (though only in the layers with a window), and leaves them out when it saves a state."""


class KVPool:
    """Slots, parked prefixes and cells."""

    def __init__(
        self,
        memory: CellMemory,
        traits: MemoryTraits,
        spill: SpillStore,
        max_idle_cells: int,
        *,
        spill_from: int | None = None,
    ) -> None:
        """`max_idle_cells`: how many may be idle while something is computed. `spill_from`: a parked prefix with so
        many cells of its own goes to RAM even so, if they are most of it: others would be copied for nothing."""
        self._memory = memory
        self.traits = traits
        self.spill = spill
        self._max_idle = max_idle_cells
        self._spill_from = spill_from if spill.enabled and not self._restores_whole else None
        self.tree = PrefixTree()
        self._free_slots = list(range(traits.n_slots))[::-1]
        self._free_parking = list(traits.parking_ids)[::-1]
        self._parked: OrderedDict[int, None] = OrderedDict()
        """Parked ids, least recently used first."""
        self.live: dict[int, Sequence] = {}
        self._idle_changed = False
        """Whether sequences have come or gone since idle cells were last found to be few enough."""
        self.evictions = self.spills = self.restores = 0

    # --- figures ---

    @property
    def has_slot(self) -> bool:
        return bool(self._free_slots)

    @property
    def n_parked(self) -> int:
        return len(self._parked)

    @property
    def used(self) -> int:
        """Cells held by anyone."""
        if not self.traits.cell_per_token:
            return len(self._parked) + len(self.live)
        private = sum(seq.n_computed - seq.n_shared for seq in self.live.values())
        if self.traits.trimmable:
            return self.tree.n_tokens + private
        return private + sum(self.tree.length(holder) for holder in self.tree)

    @property
    def total(self) -> int:
        """Cells there are."""
        return self.traits.n_cells if self.traits.cell_per_token else self.traits.n_slots + len(self.traits.parking_ids)

    @property
    def idle(self) -> int:
        """Cells that only parked prefixes hold."""
        if not self.traits.cell_per_token:
            return len(self._parked)
        if self.traits.trimmable:
            return self.tree.exclusive_tokens(self._parked.keys())
        return sum(self.tree.length(holder) for holder in self._parked)

    def cost(self, n_tokens: int) -> int:
        """Cells that computing `n_tokens` more takes."""
        return n_tokens if self.traits.cell_per_token else 0

    @property
    def free(self) -> int:
        return self.total - self.used

    # --- a sequence's life ---

    def reusable(self, seq: Sequence) -> int:
        """Tokens of it that need not be computed. At least one always remains: its logits are needed."""
        tokens = seq.array()[:-1]
        length, _ = self._resident(tokens, seq.adapters)
        return max(length, self.spill.match(tokens, seq.adapters, whole=self._restores_whole)[0])

    def open(self, seq: Sequence) -> None:
        """Give `seq` a slot, and the longest prefix of its tokens that is at hand."""
        slot = self._free_slots.pop()
        seq.slot, seq.n_computed, seq.n_shared, seq.windowed = slot, 0, 0, False
        self.live[slot] = seq
        self._idle_changed = True
        if seq.reuses:
            self._reuse(seq)

    def publish(self, seq: Sequence) -> None:
        """Let others share what `seq` has computed. Cells that another has for the same tokens replace its own."""
        assert seq.slot is not None
        if not self.traits.trimmable:
            self._checkpoint(seq)
            return
        if seq.windowed:
            return
        tokens = seq.array(seq.n_computed)
        length, holder = self.tree.match(tokens, seq.adapters)
        while holder is not None and length > seq.n_shared and self._lost_before(holder, seq.n_shared):
            self._withdraw(holder)
            length, holder = self.tree.match(tokens, seq.adapters)
        if holder is not None and length > seq.n_shared:
            if self._lost_before(seq.slot, length):  # between the two there would be a hole
                self._withdraw(seq.slot)
                return
            self._memory.remove(seq.slot, seq.n_shared, length)
            self._memory.copy(holder, seq.slot, seq.n_shared, length)
        self.tree.insert(seq.slot, tokens, seq.adapters)
        seq.n_shared = seq.n_computed

    def trim(self, seq: Sequence) -> None:
        """Remove what lies beyond the computed tokens: drafts that did not come true."""
        assert seq.slot is not None
        self._memory.remove(seq.slot, seq.n_computed, -1)

    def close(self, seq: Sequence) -> None:
        """Take the slot back; what was computed stays as a parked prefix."""
        slot = seq.slot
        assert slot is not None
        if seq.n_computed >= MIN_PARKED and seq.request.cache_prompt:
            self._park(seq)
        if slot in self.tree:
            self.tree.remove(slot)
        self._memory.remove(slot, -1, -1)
        del self.live[slot]
        self._free_slots.append(slot)
        seq.slot, seq.n_computed, seq.n_shared = None, 0, 0
        self._idle_changed = True

    def bound_idle(self) -> None:
        """Before a step, when all who can have entered: keep idle cells from slowing it and later ones down. One prefix
        goes at a time: to copy a long one takes as long as a step."""
        if self._idle_changed and self.live:
            self._idle_changed = self._spill_early() or (self.idle > self._max_idle and self.evict())

    def make_room(self, n_cells: int) -> bool:
        """Evict parked prefixes until `n_cells` are free. False: there aren't so many even then."""
        while self.free < n_cells:
            if not self.evict():
                return False
        return True

    def evict(self) -> bool:
        """Move the least recently used parked prefix to RAM, or drop it. False: there is none."""
        if not self._parked:
            return False
        holder = next(iter(self._parked))
        self._spill(holder)
        self._unpark(holder)
        self.evictions += 1
        return True

    def drop_adapter(self, adapter: int) -> None:
        """Drop every prefix that was computed with this one: it is unloaded, and its id never comes again."""
        for holder in [holder for holder in self._parked if adapter in dict(self.tree.adapters(holder))]:
            self._unpark(holder)
        self.spill.drop_adapter(adapter)

    # --- parts ---

    def _spill_early(self) -> bool:
        """Move a parked prefix that is mostly its own to RAM. False: there is none that has to go."""
        if self._spill_from is None:
            return False
        for holder in self._parked:
            own = self.tree.own_tokens(holder)
            if own >= self._spill_from and 2 * own >= self.tree.length(holder) and self._spill(holder):
                self._unpark(holder)
                self.evictions += 1
                return True
        return False

    def _reuse(self, seq: Sequence) -> None:
        """Start from the longest prefix that is at hand, in RAM or in the pool."""
        slot, tokens = seq.slot, seq.array()[:-1]
        assert slot is not None
        if self._restore(seq, tokens):
            return
        length, holder = self._resident(tokens, seq.adapters)
        if holder is not None:
            self._memory.copy(holder, slot, 0, length if self.traits.trimmable else -1)
            self._touch(holder)
            seq.n_computed = length
            if self.traits.trimmable:
                seq.n_shared = length
                self.tree.insert(slot, tokens[:length], seq.adapters)

    def _resident(self, tokens: Tokens, adapters: AdapterSet) -> tuple[int, int | None]:
        """The longest prefix that the pool holds in a reusable form."""
        if not self.traits.trimmable:
            return self.tree.match_whole(tokens, adapters)
        length, holder = self.tree.match(tokens, adapters)
        while holder is not None and self._lost_before(holder, max(0, length - self.traits.n_swa)):
            self._withdraw(holder)
            length, holder = self.tree.match(tokens, adapters)
        return length, holder

    def _lost_before(self, seq: int, position: int) -> bool:
        """Whether cells from `position` on are missing."""
        return self.traits.n_swa > 0 and self._memory.first_position(seq) > position

    def _withdraw(self, holder: int) -> None:
        """Take a holder that has lost cells out of the tree: whoever computes the same tokens gets cells of its own."""
        if holder in self._parked:
            self._spill(holder)
            self._unpark(holder)
            return
        seq = self.live[holder]
        seq.windowed, seq.n_shared = True, 0
        if holder in self.tree:
            self.tree.remove(holder)

    @property
    def _restores_whole(self) -> bool:
        """Whether a state copied back can't be cut to a shorter prefix."""
        return not self.traits.trimmable or self.traits.n_swa > 0

    def _restore(self, seq: Sequence, tokens: Tokens) -> bool:
        """Copy a prefix back from RAM if it beats the resident one and fits. Evicts, whether it succeeds or not."""
        assert seq.slot is not None
        length, key = self.spill.match(tokens, seq.adapters, whole=self._restores_whole)
        gain = length - self._resident(tokens, seq.adapters)[0]
        if key is None or gain < MIN_PARKED:
            return False
        n_saved = self.spill.length(key)
        if n_saved > WORTH_COPYING * gain:
            return False
        state = self.spill.get(key)
        if not self.make_room(self.cost(n_saved)) or not self._memory.restore(seq.slot, state):
            self._memory.remove(seq.slot, -1, -1)
            return False
        seq.n_computed = length
        self.restores += 1
        if not self._restores_whole:
            if length < n_saved:
                self._memory.remove(seq.slot, length, -1)
            else:
                self.spill.drop(key)
            self.publish(seq)
        elif self.traits.trimmable:
            seq.windowed = True
        return True

    def _park(self, seq: Sequence) -> None:
        """Keep the computed cells under a parking id, unless another holder keeps them anyway."""
        assert seq.slot is not None
        if self.traits.trimmable:  # it may leave before its drafts are verified
            self.trim(seq)
        self.publish(seq)
        if seq.windowed:
            self._keep_copy(seq.slot, seq.array(seq.n_computed), seq.adapters)
            return
        if not self.traits.trimmable or self.tree.is_covered(seq.slot):
            return
        for shorter in self.tree.covers(seq.slot) & self._parked.keys():
            self._unpark(shorter)
        if (parking := self._parking_id()) is not None:
            self._memory.copy(seq.slot, parking, 0, -1)
            self.tree.rename(seq.slot, parking)
            self._parked[parking] = None

    def _spill(self, holder: int) -> bool:
        """Copy a parked prefix to RAM. False: there is no copy of it even then."""
        return self._keep_copy(holder, self.tree.tokens(holder), self.tree.adapters(holder))

    def _keep_copy(self, holder: int, tokens: Tokens, adapters: AdapterSet) -> bool:
        """Copy a sequence to RAM, unless a copy of it is there. False: there is none even then."""
        held = self.spill.holds_whole if self._restores_whole else self.spill.holds
        if held(tokens, adapters):
            return True
        state = self._memory.save(holder) if self.spill.takes(len(tokens)) else b""
        if not state or not self.spill.put(tokens, adapters, state, supersede=not self._restores_whole):
            return False
        self.spills += 1
        return True

    def _checkpoint(self, seq: Sequence) -> None:
        """Park a copy of the whole state as it is now (memory that can't be trimmed)."""
        assert seq.slot is not None
        tokens = seq.array(seq.n_computed)
        length, holder = self.tree.match_whole(tokens, seq.adapters)
        if holder is not None and length == len(tokens):
            self._touch(holder)
        elif (parking := self._parking_id()) is not None:
            self._memory.copy(seq.slot, parking, -1, -1)
            self.tree.insert(parking, tokens, seq.adapters)
            self._parked[parking] = None

    def _parking_id(self) -> int | None:
        """A free parking id, by eviction if need be."""
        if not self._free_parking and not self.evict():
            return None
        return self._free_parking.pop()

    def _unpark(self, holder: int) -> None:
        self.tree.remove(holder)
        self._memory.remove(holder, -1, -1)
        del self._parked[holder]
        self._free_parking.append(holder)

    def _touch(self, holder: int) -> None:
        if holder in self._parked:
            self._parked.move_to_end(holder)
