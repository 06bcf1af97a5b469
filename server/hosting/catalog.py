"""Which models the server has: those of the command line, of a folder and of a file of presets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from backends.engine_options import EngineOptions
from backends.gguf.file_name import is_model_name, model_stem, split_name
from server.config import Settings
from server.config.lora import LoraFile
from server.hosting.preset import FOR_ALL, Preset, PresetError, read_presets
from server.hub.name import HubName
from server.model_source import ModelNotFound, in_hub, local_model, model_names


class CatalogError(Exception):
    """The models can't be told from what was given; the message is one line."""


@dataclass(frozen=True)
class ModelSpec:
    """One model, and how it is to be run."""

    names: tuple[str, ...]
    """Its ids in the API; the first is what logs and metrics call it."""
    path: Path
    """The GGUF; of a split one its first part. Of a repository's model only its name, until it has been got."""
    settings: Settings = dataclasses.field(default_factory=Settings)
    """The server's, with this model's own over them."""
    load_on_startup: bool = False
    stop_timeout: float = 10.0
    """Seconds that running requests have to end when an operator unloads it."""
    hub: HubName | None = None
    """The repository's model that is yet to be got; `fetching.py` gets it."""
    memory_needed: int = 0
    """Bytes, as far as the file tells; `memory.py` finds out."""

    @property
    def adapters(self) -> tuple[LoraFile, ...]:
        """Those that are loaded with it."""
        return self.settings.lora_files(self.names)

    def engine_options(self) -> EngineOptions:
        options = self.settings.engine_options(str(self.path))
        return msgspec.structs.replace(options, adapters=tuple(str(adapter.path) for adapter in self.adapters))


def is_on_demand(settings: Settings) -> bool:
    """Whether models are loaded when they are needed, as where there are several."""
    return len(settings.model) > 1 or settings.models_dir is not None or settings.models_preset is not None


def catalog(settings: Settings) -> list[ModelSpec]:
    """Every model, once. Raises CatalogError."""
    try:
        specs = [*_named(settings), *_in_folder(settings)]
        specs = _with_presets(specs, settings)
    except (ModelNotFound, PresetError) as error:
        raise CatalogError(str(error)) from None
    if not specs:
        raise CatalogError(f"there is no model in {settings.models_dir or settings.models_preset}")
    _check_names(specs)
    _check_adapters(specs)
    return specs


def _named(settings: Settings) -> list[ModelSpec]:
    """By --model; the demo model, if nothing is named at all."""
    if not settings.model and is_on_demand(settings):
        if settings.alias:
            raise CatalogError("--alias names the models of --model, and there is none")
        return []
    models = settings.model or (None,)
    if len(models) == 1:
        return [_spec(models[0], settings.alias, settings)]
    if settings.alias and len(settings.alias) != len(models):
        raise CatalogError(
            f"--alias has {len(settings.alias)} names for {len(models)} models: give one for each, in the same order"
        )
    aliases: Sequence[tuple[str, ...]] = [(alias,) for alias in settings.alias] or [()] * len(models)
    return [_spec(model, names, settings) for model, names in zip(models, aliases, strict=True)]


def _spec(model: str | None, aliases: tuple[str, ...], settings: Settings) -> ModelSpec:
    hub = in_hub(model, settings.hf_file)
    path = local_model(model) if hub is None else Path(str(hub))
    return ModelSpec(_once(model_names(path, aliases, hub)), path, settings, hub=hub)


def _in_folder(settings: Settings) -> list[ModelSpec]:
    """GGUFs, split ones as one; and of each sub-folder the one that is in it, under the folder's name."""
    if settings.models_dir is None:
        return []
    specs = []
    for entry in _entries(Path(settings.models_dir).expanduser()):
        if not entry.is_dir():
            if _is_model(entry):
                specs.append(ModelSpec((model_stem(entry.name),), entry, settings))
        elif inside := [path for path in _entries(entry) if _is_model(path)]:
            specs.append(ModelSpec((entry.name,), inside[0], settings))
    return specs


def _entries(folder: Path) -> list[Path]:
    """In order of their names; without hidden ones, and those whose names are no text."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise CatalogError(f"cannot read {folder} of --models-dir: {error.strerror}") from None
    return [path for path in entries if not path.name.startswith(".") and path.name.isprintable()]


def _is_model(path: Path) -> bool:
    """Whether it is a GGUF to be loaded by this name."""
    part = split_name(path.name)
    return is_model_name(path.name) and (part is None or part.number == 1)


def _with_presets(specs: Sequence[ModelSpec], settings: Settings) -> list[ModelSpec]:
    """A preset that has a model's name says how that one is to be run; any other is a model itself."""
    if settings.models_preset is None:
        return list(specs)
    file = Path(settings.models_preset).expanduser()
    presets = read_presets(file, settings)
    for_all = presets.pop(FOR_ALL)
    known = {name: spec for spec in specs for name in spec.names}
    preset_for: dict[str, Preset] = {}
    further = []
    for name, preset in presets.items():
        if name in known and preset.model is None:
            preset_for[known[name].names[0]] = preset
        elif name in known:
            raise CatalogError(f"{file}: [{name}] is {known[name].path}: leave out its `model`")
        elif preset.model is not None:
            further.append(_as_preset(_spec(preset.model, (name, *preset.aliases), preset.settings), preset))
        else:
            raise CatalogError(f"{file}: [{name}] is no model that is here: it needs `model`")
    return [*(_as_preset(spec, preset_for.get(spec.names[0], for_all)) for spec in specs), *further]


def _as_preset(spec: ModelSpec, preset: Preset) -> ModelSpec:
    return dataclasses.replace(
        spec,
        names=_once((*spec.names, *preset.aliases)),
        settings=preset.settings,
        load_on_startup=preset.load_on_startup,
        stop_timeout=preset.stop_timeout,
    )


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _check_names(specs: Sequence[ModelSpec]) -> None:
    owners: dict[str, ModelSpec] = {}
    for spec in specs:
        for name in spec.names:
            if name in owners:
                raise CatalogError(
                    f"two models are called {name}: {owners[name].path} and {spec.path} (--alias gives other names)"
                )
            owners[name] = spec


def _check_adapters(specs: Sequence[ModelSpec]) -> None:
    models = {name for spec in specs for name in spec.names}
    known: set[str] = set()
    for spec in specs:
        folder = spec.settings.lora_dir
        if folder is not None and not Path(folder).expanduser().is_dir():
            raise CatalogError(f"--lora-dir {folder} is no folder")
        for module in spec.settings.lora_modules:
            if module.base_model_name not in (None, *models):
                raise CatalogError(f"the LoRA adapter {module.name} is for {module.base_model_name}, which isn't here")
        for name in (adapter.name for adapter in spec.adapters if adapter.name is not None):
            if name in models:
                raise CatalogError(f"a LoRA adapter and a model are both called {name}")
            if name in known:
                raise CatalogError(f"two LoRA adapters are called {name}: base_model_name says which model one is for")
            known.add(name)
