"""How much of a model goes to which device, and how long its context may be: arithmetic on sizes, nothing is asked.

llama.cpp keeps the last layers on devices, the output as one more; they go to the devices in order, each device's
number by shares. A layer's KV cells lie where the layer does. Of a mixture of experts, the experts can stay in RAM
while all the rest is on a device: each token uses few of them, so that costs less than whole layers there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import msgspec

from backends.context_size import CELL_PADDING
from backends.gguf.memory_need import ContextPlan, compute_bytes, layer_kv_bytes
from backends.gguf.model_shape import ModelShape

AUTO, ALL = -1, -2
"""Numbers of layers, as in llama-server: as many as fit; every one."""

RAM_IN_WORDS = "RAM"
PIPELINED_COPIES = 4
"""Batches that llama.cpp has several devices work on at a time, once they hold the whole model."""
USABLE = 0.8
"""Share of the RAM at hand that a context chosen here may fill, weights included."""
ALWAYS_USABLE = 0.25
"""Share of it that the cells may fill where mapped weights leave them less: those can be read again."""


@dataclass(frozen=True)
class Room:
    """A device's memory, bytes. `margin` is left alone by what is chosen here, not by what is asked for."""

    name: str
    free: int
    margin: int = 0


@dataclass(frozen=True)
class Host:
    """RAM."""

    available: int
    mapped: bool = True
    """Whether weights in it are only mapped from the file, so that the system can take them back."""


@dataclass(frozen=True)
class Companion:
    """A draft model beside the model, with a context as long."""

    shape: ModelShape
    context: ContextPlan
    on_devices: bool


@dataclass(frozen=True)
class Wish:
    """What was asked for."""

    n_ctx: int = 0
    """0: up to `max_ctx`, as much as fits."""
    max_ctx: int = 4096
    min_ctx: int = 4096
    """Layers leave devices rather than that the context gets shorter."""
    n_gpu_layers: int = AUTO
    n_cpu_moe: int | None = None
    """Layers, from the first, whose experts stay in RAM; None: as few as fit."""
    shares: tuple[float, ...] = ()
    """Of the devices; empty: by their free memory, as llama.cpp does it."""
    kv_on_devices: bool = True


@dataclass(frozen=True)
class Plan:
    """Where things go. Bytes, the devices' in their order."""

    n_ctx: int
    n_gpu_layers: int
    n_cpu_moe: int
    shares: tuple[float, ...]
    """Empty: by free memory."""
    on_devices: tuple[int, ...]
    in_ram: int
    """What is taken of RAM for good."""
    ram_weights: int
    """Weights in RAM, mapped or (then they are part of `in_ram`) not."""


class Planner:
    """Finds a plan for one model on one machine."""

    def __init__(
        self,
        shape: ModelShape,
        context: ContextPlan,
        rooms: Sequence[Room],
        host: Host,
        companion: Companion | None = None,
    ) -> None:
        self._shape, self._context, self._rooms, self._companion = shape, context, tuple(rooms), companion
        self.host = host
        self.n_offloadable = len(shape.layers) + 1

    def fitting(self, wish: Wish) -> Plan | None:
        """The plan that does most of what is wished and fits, margins left alone; None: not even the least fits."""
        most = wish.n_ctx or wish.max_ctx
        least = wish.n_ctx or min(wish.min_ctx, wish.max_ctx)
        placement = None
        for placement in self._placements(wish):
            if plan := self._longest(wish, *placement, least, most):
                return plan
        # With all that can be in RAM already there, the context gets shorter than anybody would want it.
        return None if wish.n_ctx or placement is None else self._longest(wish, *placement, CELL_PADDING, least)

    def as_asked(self, wish: Wish) -> Plan:
        """Everything as it was asked for, whether it fits or not."""
        n_gpu, n_ctx = self._wished_layers(wish), wish.n_ctx or wish.max_ctx
        return self._plan(n_gpu, wish.n_cpu_moe or 0, n_ctx, wish.shares, wish)

    def excess(self, plan: Plan) -> list[tuple[str, int, int]]:
        """Where a plan asks for more than there is: a device's name or "RAM", bytes needed, bytes free."""
        places = [(room.name, need, room.free) for room, need in zip(self._rooms, plan.on_devices, strict=True)]
        places.append((RAM_IN_WORDS, plan.in_ram, self.host.available))
        return [(name, need, free) for name, need, free in places if need > free]

    # --- parts ---

    def _wished_layers(self, wish: Wish) -> int:
        if not self._rooms:
            return 0
        return self.n_offloadable if wish.n_gpu_layers < 0 else min(wish.n_gpu_layers, self.n_offloadable)

    def _placements(self, wish: Wish) -> Iterator[tuple[int, int]]:
        """How many layers are on devices, and how many layers' experts in RAM: what is wished, then ever less."""
        n_gpu, n_cpu = self._wished_layers(wish), wish.n_cpu_moe or 0
        yield n_gpu, n_cpu
        if wish.n_gpu_layers != AUTO:
            return
        if wish.n_cpu_moe is None and n_gpu and any(layer.experts for layer in self._shape.layers):
            for n_cpu in range(1, len(self._shape.layers) + 1):
                yield n_gpu, n_cpu
        for fewer in range(n_gpu - 1, -1, -1):
            yield fewer, n_cpu

    def _longest(self, wish: Wish, n_gpu: int, n_cpu: int, least: int, most: int) -> Plan | None:
        """The plan with the longest context that fits, of `least` to `most` tokens; None: none does."""
        if plan := self._tried(wish, n_gpu, n_cpu, most):
            return plan
        best = self._tried(wish, n_gpu, n_cpu, least) if least < most else None
        low, high = least // CELL_PADDING, most // CELL_PADDING
        while best and low < high:  # more cells never take less memory
            middle = (low + high + 1) // 2
            if plan := self._tried(wish, n_gpu, n_cpu, middle * CELL_PADDING):
                best, low = plan, middle
            else:
                high = middle - 1
        return best

    def _tried(self, wish: Wish, n_gpu: int, n_cpu: int, n_ctx: int) -> Plan | None:
        """The plan of these numbers, if it fits."""
        plan = self._plan(n_gpu, n_cpu, n_ctx, wish.shares, wish)
        if not self._fits(plan) and not wish.shares and len(self._rooms) > 1:
            if (counts := self._packed(n_gpu, n_cpu, n_ctx, wish)) is None:
                return None
            plan = self._plan(n_gpu, n_cpu, n_ctx, counts, wish)
        return plan if self._fits(plan) else None

    def _fits(self, plan: Plan) -> bool:
        if any(need > max(0, room.free - room.margin) for room, need in zip(self._rooms, plan.on_devices, strict=True)):
            return False
        left = USABLE * self.host.available - (plan.ram_weights if self.host.mapped else 0)
        return plan.in_ram <= max(left, ALWAYS_USABLE * self.host.available)

    def _plan(self, n_gpu: int, n_cpu: int, n_ctx: int, shares: tuple[float, ...], wish: Wish) -> Plan:
        context = msgspec.structs.replace(self._context, n_ctx=n_ctx)
        compute = compute_bytes(self._shape, context, self._copies(n_gpu, wish))
        first = self.n_offloadable - n_gpu
        weights, cells = self._sizes(context, n_cpu)
        on_devices = list(self._companion_on_devices(n_ctx))
        for place, device in enumerate(self._device_of(n_gpu, shares)):
            on_devices[device] += weights[first + place] + (cells[first + place] if wish.kv_on_devices else 0)
        for device in set(self._device_of(n_gpu, shares)):
            on_devices[device] += compute
        ram_weights = self._shape.weights - sum(weights[first:])
        if self._shape.tied and n_gpu:  # of the embeddings, the device has a copy
            ram_weights += self._shape.input_weights
        in_ram = compute + sum(cells[:first] if wish.kv_on_devices else cells)
        if self._companion is not None and not (self._companion.on_devices and self._rooms):
            in_ram += self._companion_context(n_ctx)
            ram_weights += self._companion.shape.weights
        return Plan(
            n_ctx=n_ctx,
            n_gpu_layers=n_gpu,
            n_cpu_moe=n_cpu,
            shares=shares,
            on_devices=tuple(on_devices),
            in_ram=in_ram + (0 if self.host.mapped else ram_weights),
            ram_weights=ram_weights,
        )

    def _sizes(self, context: ContextPlan, n_cpu: int) -> tuple[list[int], list[int]]:
        """Weights that a device would hold, and cells, of each layer, the output last."""
        layers = self._shape.layers
        weights = [layer.weights - (layer.experts if i < n_cpu else 0) for i, layer in enumerate(layers)]
        return [*weights, self._shape.output_weights], [*(layer_kv_bytes(layer, context) for layer in layers), 0]

    def _copies(self, n_gpu: int, wish: Wish) -> int:
        pipelined = len(self._rooms) > 1 and n_gpu == self.n_offloadable and wish.kv_on_devices
        return PIPELINED_COPIES if pipelined else 1

    def _device_of(self, n_gpu: int, shares: tuple[float, ...]) -> list[int]:
        """The device of each offloaded layer, as llama.cpp deals them out."""
        shares = shares or tuple(float(room.free) for room in self._rooms)
        bounds = list(accumulate([*shares, *[0.0] * len(self._rooms)][: len(self._rooms)]))
        if not bounds or bounds[-1] <= 0:
            return [0] * n_gpu if self._rooms else []
        at = [place / n_gpu for place in range(n_gpu)]
        return [next((i for i, bound in enumerate(bounds) if bound / bounds[-1] > where), 0) for where in at]

    def _packed(self, n_gpu: int, n_cpu: int, n_ctx: int, wish: Wish) -> tuple[float, ...] | None:
        """How many layers each device takes if each is filled before the next; None: they don't fit so either."""
        context = msgspec.structs.replace(self._context, n_ctx=n_ctx)
        weights, cells = self._sizes(context, n_cpu)
        sizes = [w + (c if wish.kv_on_devices else 0) for w, c in zip(weights, cells, strict=True)]
        sizes = sizes[self.n_offloadable - n_gpu :]
        compute, counts, at = compute_bytes(self._shape, context, self._copies(n_gpu, wish)), [], 0
        for room, taken in zip(self._rooms, self._companion_on_devices(n_ctx), strict=True):
            left, start = room.free - room.margin - taken - compute, at
            while at < n_gpu and sizes[at] <= left:
                left -= sizes[at]
                at += 1
            counts.append(float(at - start))
        return tuple(counts) if at == n_gpu else None

    def _companion_on_devices(self, n_ctx: int) -> list[int]:
        if self._companion is None or not self._companion.on_devices:
            return [0] * len(self._rooms)
        total = self._companion.shape.weights + self._companion_context(n_ctx)
        free = sum(room.free for room in self._rooms) or 1
        return [total * room.free // free for room in self._rooms]

    def _companion_context(self, n_ctx: int) -> int:
        """Bytes that it takes beside its weights."""
        assert self._companion is not None
        shape, context = self._companion.shape, msgspec.structs.replace(self._companion.context, n_ctx=n_ctx)
        cells = sum(layer_kv_bytes(layer, context) for layer in shape.layers)
        return cells + compute_bytes(shape, context)
