"""The planner, on machines that are numbers: whatever it chooses fits, and nothing better would have."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from backends.gguf.memory_need import ContextPlan
from backends.gguf.model_shape import Layer, ModelShape
from backends.llama_cpp.offload_plan import ALL, ALWAYS_USABLE, AUTO, Companion, Host, Planner, Room, Wish

MIB, GIB = 1 << 20, 1 << 30
PLENTY = Host(available=1000 * GIB)


def _shape(n_layers: int = 32, layer: int = 100 * MIB, experts: int = 0, ends: int = 50 * MIB) -> ModelShape:
    layers = [Layer(weights=layer + experts, experts=experts, k_width=1024, v_width=1024) for _ in range(n_layers)]
    return ModelShape("llama", layers, input_weights=ends, output_weights=ends, n_vocab=32000, n_embd=4096, n_ff=11008)


def _planner(
    shape: ModelShape, *free: int, host: Host = PLENTY, margin: int = 0, companion: Companion | None = None
) -> Planner:
    rooms = [Room(f"GPU{i}", size, margin) for i, size in enumerate(free)]
    return Planner(shape, ContextPlan(n_ctx=0), rooms, host, companion)


WISH = Wish(max_ctx=32768)


# --- by example ---


def test_all_of_it_where_there_is_room() -> None:
    plan = _planner(_shape(), 24 * GIB).fitting(WISH)
    assert plan is not None
    assert (plan.n_gpu_layers, plan.n_ctx, plan.n_cpu_moe, plan.shares) == (33, 32768, 0, ())


def test_the_context_gets_shorter_before_layers_leave() -> None:
    plan = _planner(_shape(), 5 * GIB).fitting(WISH)
    assert plan is not None
    assert plan.n_gpu_layers == 33 and 4096 <= plan.n_ctx < 32768


def test_layers_leave_rather_than_the_least_context() -> None:
    plan = _planner(_shape(), 2 * GIB).fitting(WISH)
    assert plan is not None
    assert 0 < plan.n_gpu_layers < 33 and plan.n_ctx >= 4096


def test_a_context_that_was_asked_for_is_kept() -> None:
    plan = _planner(_shape(), 5 * GIB).fitting(replace(WISH, n_ctx=32768))
    assert plan is not None
    assert 0 < plan.n_gpu_layers < 33 and plan.n_ctx == 32768


def test_layers_that_were_asked_for_are_kept() -> None:
    planner = _planner(_shape(), 5 * GIB)
    plan = planner.fitting(replace(WISH, n_gpu_layers=20))
    assert plan is not None and plan.n_gpu_layers == 20
    assert planner.fitting(replace(WISH, n_gpu_layers=ALL, n_ctx=32768)) is None
    excess = planner.excess(planner.as_asked(replace(WISH, n_gpu_layers=ALL, n_ctx=32768)))
    assert [name for name, _, _ in excess] == ["GPU0"] and all(need > free for _, need, free in excess)


def test_experts_leave_before_layers() -> None:
    plan = _planner(_shape(layer=50 * MIB, experts=400 * MIB), 8 * GIB).fitting(WISH)
    assert plan is not None
    assert plan.n_gpu_layers == 33 and 0 < plan.n_cpu_moe < 32
    forbidden = _planner(_shape(layer=50 * MIB, experts=400 * MIB), 8 * GIB).fitting(replace(WISH, n_cpu_moe=0))
    assert forbidden is not None
    assert forbidden.n_cpu_moe == 0 and forbidden.n_gpu_layers < 33


def test_unequal_devices_are_filled_each() -> None:
    shape = _shape(n_layers=8, layer=1 * GIB)
    plan = _planner(shape, 7 * GIB, 4 * GIB).fitting(replace(WISH, n_ctx=512))
    assert plan is not None and plan.n_gpu_layers == 9


def test_cells_in_ram_leave_room_for_layers() -> None:
    planner = _planner(_shape(), 2 * GIB)
    on_device, in_ram = (planner.fitting(replace(WISH, n_ctx=32768, kv_on_devices=kv)) for kv in (True, False))
    assert on_device is not None and in_ram is not None
    assert in_ram.n_gpu_layers > on_device.n_gpu_layers
    assert in_ram.in_ram > on_device.in_ram


def test_margins_are_left_alone() -> None:
    with_margin, without = (_planner(_shape(), 8 * GIB, margin=m).fitting(WISH) for m in (4 * GIB, 0))
    assert with_margin is not None and without is not None
    assert with_margin.on_devices[0] <= 4 * GIB < without.on_devices[0]


def test_a_draft_model_takes_its_part() -> None:
    draft = _shape(n_layers=4)
    companion = Companion(draft, ContextPlan(n_ctx=0), on_devices=True)
    alone, together = (_planner(_shape(), 4 * GIB, companion=c).fitting(WISH) for c in (None, companion))
    assert alone is not None and together is not None
    assert (together.n_gpu_layers, together.n_ctx) < (alone.n_gpu_layers, alone.n_ctx)


def test_a_draft_model_in_ram_counts_once() -> None:
    draft = _shape(n_layers=4)
    for mapped in (True, False):
        host = Host(available=1000 * GIB, mapped=mapped)
        companion = Companion(draft, ContextPlan(n_ctx=0), on_devices=False)
        alone, both = (_planner(_shape(), host=host, companion=c).as_asked(WISH) for c in (None, companion))
        itself = Planner(draft, ContextPlan(n_ctx=0), [], host).as_asked(WISH)
        assert both.in_ram == alone.in_ram + itself.in_ram
        assert both.ram_weights == alone.ram_weights + itself.ram_weights


def test_ram_alone() -> None:
    host = Host(available=16 * GIB)
    plan = _planner(_shape(), host=host).fitting(WISH)
    assert plan is not None and (plan.n_gpu_layers, plan.on_devices) == (0, ())
    short = _planner(_shape(), host=Host(available=5 * GIB)).fitting(WISH)
    assert short is not None and short.n_ctx < 32768
    assert _planner(_shape(), host=Host(available=5 * GIB)).fitting(replace(WISH, n_ctx=1 << 20)) is None


def test_mapped_weights_may_be_larger_than_ram() -> None:
    shape = _shape(layer=GIB)
    plan = _planner(shape, host=Host(available=8 * GIB)).fitting(WISH)
    assert plan is not None
    assert plan.in_ram <= ALWAYS_USABLE * 8 * GIB and plan.ram_weights > 8 * GIB
    assert _planner(shape, host=Host(available=8 * GIB, mapped=False)).fitting(WISH) is None


def test_layers_go_where_llama_cpp_puts_them() -> None:
    """llama.cpp: `upper_bound(splits, layer / n)` on running sums of shares."""
    planner = _planner(_shape(n_layers=9), 10 * GIB, 10 * GIB, 10 * GIB)
    assert planner._device_of(10, (3, 0, 1)) == [0] * 8 + [2] * 2
    assert planner._device_of(10, (5, 3, 2)) == [0] * 5 + [1] * 3 + [2] * 2
    assert planner._device_of(4, ()) == [0, 0, 1, 2]


# --- by property ---

layers = st.builds(
    lambda weights, experts, width, state: Layer(weights + experts, experts, width, width, state),
    st.integers(1, GIB),
    st.one_of(st.just(0), st.integers(0, GIB)),
    st.sampled_from((0, 128, 1024, 8192)),
    st.sampled_from((0, 0, 100_000)),
)
shapes = st.builds(
    lambda found, ends, tied: ModelShape(
        "llama", found, input_weights=ends, output_weights=ends, tied=tied, n_vocab=32000, n_embd=1024, n_ff=4096
    ),
    st.lists(layers, min_size=1, max_size=12),
    st.integers(0, GIB),
    st.booleans(),
)
rooms = st.lists(st.builds(Room, st.just("GPU"), st.integers(0, 20 * GIB), st.integers(0, GIB)), max_size=3)
hosts = st.builds(Host, st.integers(64 * MIB, 64 * GIB), st.booleans())
wishes = st.builds(
    Wish,
    n_ctx=st.sampled_from((0, 0, 1000, 8192, 100_000)),
    max_ctx=st.integers(1, 200_000),
    min_ctx=st.sampled_from((512, 4096)),
    n_gpu_layers=st.sampled_from((AUTO, AUTO, ALL, 0, 3, 99)),
    n_cpu_moe=st.sampled_from((None, 0, 2)),
    shares=st.sampled_from(((), (), (1.0,), (1.0, 3.0, 2.0))),
    kv_on_devices=st.booleans(),
)


@settings(max_examples=60)
@given(shapes, rooms, hosts, wishes)
def test_what_is_chosen_fits(shape: ModelShape, there: list[Room], host: Host, wish: Wish) -> None:
    planner = Planner(shape, ContextPlan(n_ctx=0), there, host)
    plan = planner.fitting(wish)
    if plan is None:
        return
    assert not planner.excess(plan)
    for room, need in zip(there, plan.on_devices, strict=True):
        assert need <= max(0, room.free - room.margin)
    assert 0 <= plan.n_gpu_layers <= len(shape.layers) + 1
    assert plan.n_ctx == wish.n_ctx if wish.n_ctx else 1 <= plan.n_ctx <= max(wish.max_ctx, 256)
    if wish.n_gpu_layers >= 0 and there:
        assert plan.n_gpu_layers == min(wish.n_gpu_layers, len(shape.layers) + 1)
    if wish.n_cpu_moe is not None:
        assert plan.n_cpu_moe == wish.n_cpu_moe
    if wish.shares:
        assert plan.shares == wish.shares


@settings(max_examples=60)
@given(shapes, rooms, hosts, wishes)
def test_everything_is_somewhere(shape: ModelShape, there: list[Room], host: Host, wish: Wish) -> None:
    """Weights on devices and in RAM are the model's: none is forgotten, and none is counted twice."""
    planner = Planner(shape, ContextPlan(n_ctx=0), there, host)
    plan = planner.as_asked(replace(wish, n_ctx=0, max_ctx=1))
    bare = Planner(shape, ContextPlan(n_ctx=0), [], host).as_asked(replace(wish, n_ctx=0, max_ctx=1))
    copied = shape.input_weights if shape.tied and plan.n_gpu_layers else 0
    assert bare.ram_weights == shape.weights
    assert plan.ram_weights + sum(plan.on_devices) >= shape.weights + copied
    if not plan.n_gpu_layers:
        assert plan.ram_weights == shape.weights and sum(plan.on_devices) == 0


@settings(max_examples=60)
@given(shapes, rooms, hosts, wishes, st.integers(0, 4 * GIB))
def test_more_memory_never_makes_less_possible(
    shape: ModelShape, there: list[Room], host: Host, wish: Wish, more: int
) -> None:
    less = Planner(shape, ContextPlan(n_ctx=0), there, host).fitting(wish)
    roomier = Planner(shape, ContextPlan(n_ctx=0), there, replace(host, available=host.available + more)).fitting(wish)
    if less is not None:
        assert roomier is not None
        assert roomier.n_gpu_layers >= less.n_gpu_layers or roomier.n_ctx >= less.n_ctx
