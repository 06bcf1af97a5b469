"""A loaded GGUF: weights, vocabulary, metadata, and what its memory can do. Thin and typed over llama.h."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import llama_cpp.llama_cpp as C

from backends.base import ModelLoadError
from backends.engine_options import EngineOptions
from backends.gguf.byte_reader import GGUFError
from backends.gguf.kind import IN_WORDS, kind_of
from backends.gguf.model_file import ModelFile, check_model_file

from . import devices, library, rpc

LOAD_MODES = {
    "auto": C.LLAMA_LOAD_MODE_AUTO,
    "none": C.LLAMA_LOAD_MODE_NONE,
    "mmap": C.LLAMA_LOAD_MODE_MMAP,
    "mlock": C.LLAMA_LOAD_MODE_MLOCK,
    "mmap+mlock": C.LLAMA_LOAD_MODE_MMAP_MLOCK,
    "dio": C.LLAMA_LOAD_MODE_DIRECT_IO,
}
SPLIT_MODES = {
    "none": C.LLAMA_SPLIT_MODE_NONE,
    "layer": C.LLAMA_SPLIT_MODE_LAYER,
    "row": C.LLAMA_SPLIT_MODE_ROW,
    "tensor": 3,  # LLAMA_SPLIT_MODE_TENSOR: in llama.h, not yet in the binding
}

NUMA = {"distribute": 1, "isolate": 2, "numactl": 3}
"""ggml-cpu.h's strategies."""


class Model:
    """llama.cpp's `llama_model`. Raises ModelLoadError, with the reason in a line, if it can't be loaded.

    `on_progress` raises ConnectionError if nobody waits for the model any more: then loading ends. `file`: its headers,
    where they have been checked already.
    """

    def __init__(
        self, options: EngineOptions, on_progress: Callable[[float], None], file: ModelFile | None = None
    ) -> None:
        if file is None:
            check_gguf(options.model_path)
        library.start(verbose=options.verbose)
        library.load_backends()
        rpc.register(options.rpc)
        if options.numa is not None:
            C.llama_numa_init(NUMA[options.numa])
        params, self._pointed_to = _params(options)

        @C.llama_progress_callback  # type: ignore[untyped-decorator]  # ctypes' CFUNCTYPE
        def report(fraction: float, _user_data: object) -> bool:
            try:
                on_progress(fraction)
            except ConnectionError:
                return False
            return True

        params.progress_callback = report
        handle = C.llama_model_load_from_file(options.model_path.encode(), params)
        if not handle:
            raise ModelLoadError(
                f"cannot load {options.model_path}: {library.last_error() or 'llama.cpp gives no reason'}"
            )
        self.handle = handle
        self.path = options.model_path
        self.vocab = C.llama_model_get_vocab(handle)
        self.n_vocab: int = C.llama_vocab_n_tokens(self.vocab)
        self.metadata = _metadata(handle)
        # Here, because contexts that scale positions by YaRN change what llama.cpp says.
        self.n_ctx_train = int(C.llama_model_n_ctx_train(handle))
        self.has_rope = C.llama_model_rope_type(handle) != C.LLAMA_ROPE_TYPE_NONE
        """Whether positions are encoded by rotation, and so can be scaled."""

    @property
    def n_embd(self) -> int:
        return int(C.llama_model_n_embd(self.handle))

    @property
    def n_layer(self) -> int:
        return int(C.llama_model_n_layer(self.handle))

    @property
    def n_head(self) -> int:
        """Of the first layer, where they differ; at least 1."""
        return max(1, int(C.llama_model_n_head(self.handle)))

    @property
    def n_params(self) -> int:
        return int(C.llama_model_n_params(self.handle))

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors."""
        return int(C.llama_model_size(self.handle))

    @property
    def n_swa(self) -> int:
        """Tokens that sliding-window layers attend to; 0: no such layers."""
        return int(C.llama_model_n_swa(self.handle))

    @property
    def recurrent(self) -> bool:
        """No attention at all: a state of one size per sequence."""
        return bool(C.llama_model_is_recurrent(self.handle))

    @property
    def hybrid(self) -> bool:
        """Attention and recurrent layers."""
        return bool(C.llama_model_is_hybrid(self.handle))

    @property
    def has_decoder(self) -> bool:
        return bool(C.llama_model_has_decoder(self.handle))

    @property
    def has_encoder(self) -> bool:
        return bool(C.llama_model_has_encoder(self.handle))

    @property
    def description(self) -> str:
        buffer = ctypes.create_string_buffer(256)
        C.llama_model_desc(self.handle, buffer, len(buffer))
        # llama.cpp knows the sizes of well-known models by name, and calls others "?B".
        n = self.n_params
        size = f"{n / 1e9:.1f}B" if n >= 1e9 else f"{n / 1e6:.1f}M"
        return buffer.value.decode(errors="replace").replace("?B", size)

    @property
    def chat_template(self) -> str | None:
        template = C.llama_model_chat_template(self.handle, None)
        return template.decode(errors="replace") if template else None

    def close(self) -> None:
        C.llama_model_free(self.handle)


def _params(options: EngineOptions) -> tuple[C.llama_model_params, list[object]]:
    """What llama.cpp is told, and what that points to, which has to live as long as the model. Raises
    ModelLoadError."""
    params = C.llama_model_default_params()
    params.n_gpu_layers = options.n_gpu_layers
    params.split_mode = SPLIT_MODES[options.split_mode]
    params.main_gpu = options.main_gpu
    params.load_mode = LOAD_MODES[options.load_mode]
    params.check_tensors = options.check_tensors
    params.use_extra_bufts = options.repack
    pointed_to: list[object] = []
    if options.tensor_split:
        shares = (ctypes.c_float * C.llama_max_devices())(*options.tensor_split)
        params.tensor_split = ctypes.cast(shares, ctypes.POINTER(ctypes.c_float))
        pointed_to.append(shares)
    if options.devices:
        pointers = devices.device_pointers(options.devices)
        params.devices = ctypes.addressof(pointers)
        pointed_to.append(pointers)
    if pairs := devices.override_pairs(options.tensor_overrides, options.n_cpu_moe or 0):
        overrides = devices.tensor_overrides(pairs)
        params.tensor_buft_overrides = ctypes.addressof(overrides)
        pointed_to.append(overrides)
    return params, pointed_to


def check_gguf(path: str) -> ModelFile:
    """A model's headers. Says in words what is wrong with its file, before llama.cpp tries it: ModelLoadError."""
    try:
        file = check_model_file(Path(path))
    except GGUFError as error:
        raise ModelLoadError(f"cannot load {path}: {error}") from None
    kind = kind_of(file.header)
    if kind != "model":
        raise ModelLoadError(f"cannot load {path}: it is {IN_WORDS[kind]}, not a model")
    return file


def _metadata(handle: int) -> dict[str, str]:
    """The GGUF's scalar key-value pairs, as text."""
    found: dict[str, str] = {}
    for i in range(C.llama_model_meta_count(handle)):
        key = _text(C.llama_model_meta_key_by_index, handle, i)
        found[key] = _text(C.llama_model_meta_val_str_by_index, handle, i)
    return found


def _text(getter: Callable[..., int], handle: int, index: int) -> str:
    buffer = ctypes.create_string_buffer(256)
    length = getter(handle, index, buffer, len(buffer))
    if length >= len(buffer):
        buffer = ctypes.create_string_buffer(length + 1)
        getter(handle, index, buffer, len(buffer))
    return buffer.value.decode(errors="replace")
