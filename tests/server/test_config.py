"""Settings: each source, their precedence, and what a wrong value is answered with."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from backends.base import SamplingParams
from backends.engine_options import RopeOptions
from server.command_line import UsageError
from server.config import GROUPS, SETTINGS, Setting, Settings
from server.config.gpu import EVERY_LAYER
from server.config.sources import NOT_OURS
from tests.server.settings import load_settings


def load(*arguments: str, **environment: str) -> Settings:
    return load_settings(arguments, environment)


def refusal(*arguments: str, **environment: str) -> str:
    with pytest.raises(UsageError) as caught:
        load(*arguments, **environment)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_defaults() -> None:
    settings = load()
    assert (settings.host, settings.port, settings.model) == ("127.0.0.1", 8000, ())
    assert settings.sampling == {}
    options = settings.engine_options("m.gguf")
    assert options.n_threads == 0
    assert options.n_gpu_layers == -1
    assert not options.verbose


def test_flags_reach_the_engine() -> None:
    settings = load(
        *"m.gguf -c 4096 -np 4 -b 256 -ub 128 -t 3 -tb 5 -lm dio -ctk q8_0 -ctv q4_0 -fa on -cram -1".split(),
        *"-ngl 12 -sm row -mg 1 -ts 3,1 -v".split(),
    )
    options = settings.engine_options(settings.model[0])
    assert options.model_path == "m.gguf"
    assert (options.n_ctx, options.n_parallel, options.n_batch, options.n_ubatch) == (4096, 4, 256, 128)
    assert (options.n_threads, options.n_threads_batch, options.load_mode) == (3, 5, "dio")
    assert (options.cache_type_k, options.cache_type_v, options.flash_attn) == ("q8_0", "q4_0", "on")
    assert (options.cache_ram_mib, options.n_gpu_layers, options.split_mode) == (-1, 12, "row")
    assert (options.main_gpu, options.tensor_split, options.verbose) == (1, (3.0, 1.0), True)


def test_experts_in_ram() -> None:
    assert load("-ncmoe", "3").engine_options("m.gguf").n_cpu_moe == 3
    assert load("-cmoe").engine_options("m.gguf").n_cpu_moe == EVERY_LAYER
    assert load().engine_options("m.gguf").n_cpu_moe is None


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_values_can_be_held_against_every_settings_type(setting: Setting) -> None:
    with suppress(msgspec.ValidationError):  # a TypeError is of the type
        msgspec.convert("?", setting.type)


def test_positions_and_workers_reach_the_engine() -> None:
    flags = "--rope-scaling yarn --rope-scale 4 --rope-freq-base 5e5 --yarn-orig-ctx 4096 --yarn-ext-factor -1"
    betas = "--yarn-beta-slow 2 --yarn-beta-fast 16 --yarn-attn-factor 1.5 --rpc here:1,10.0.0.7:50052"
    options = load(*flags.split(), *betas.split()).engine_options("m.gguf")
    assert options.rope == RopeOptions(
        scaling="yarn",
        freq_base=500_000.0,
        freq_scale=0.25,
        yarn_orig_ctx=4096,
        yarn_attn_factor=1.5,
        yarn_beta_slow=2.0,
        yarn_beta_fast=16.0,
    )
    assert options.rpc == ("here:1", "10.0.0.7:50052")
    assert load().engine_options("m.gguf").rope == RopeOptions()
    assert load("--rope-freq-scale", "0.5").engine_options("m.gguf").rope == RopeOptions(freq_scale=0.5)


def test_one_scale_is_enough() -> None:
    assert "give one" in refusal("--rope-scale", "2", PADDOCK_ROPE_FREQ_SCALE="0.5")
    assert refusal("--rope-scaling", "longrope") == "--rope-scaling must be one of none, linear, yarn, not 'longrope'"


@pytest.mark.parametrize("flag", ["-ngl", "--gpu-layers", "--n-gpu-layers"])
@pytest.mark.parametrize(("text", "layers"), [("auto", -1), ("all", -2), ("0", 0), ("99", 99)])
def test_gpu_layers(flag: str, text: str, layers: int) -> None:
    assert load(flag, text).gpu_layers == layers


@pytest.mark.parametrize(("flag", "mode"), [("--mmap", "mmap"), ("--no-mmap", "none"), ("--mlock", "mmap+mlock")])
def test_load_mode_shorthands(flag: str, mode: str) -> None:
    assert load(flag).load_mode == mode
    assert load(flag, "-lm", "dio").load_mode == "dio"


def test_sampling_defaults_go_over_the_models() -> None:
    settings = load(
        *"--temp 0.2 --top-k 7 --mirostat 2 --mirostat-lr 0.3 --mirostat-ent 4 -s -1 --ignore-eos".split(),
        *"--samplers top_k;temperature --repeat-last-n -1 --tfs 0.9 --typical-p 0.8".split(),
        *("--dry-sequence-breaker", r"\n", "--dry-sequence-breaker", "end"),
    )
    of_model = SamplingParams(temperature=0.6, top_p=0.5, seed=3)
    sampling = settings.sampling_defaults(of_model)
    assert (sampling.temperature, sampling.top_k, sampling.top_p) == (0.2, 7, 0.5)
    assert (sampling.mirostat, sampling.mirostat_eta, sampling.mirostat_tau) == (2, 0.3, 4.0)
    assert (sampling.seed, sampling.ignore_eos, sampling.samplers) == (None, True, ("top_k", "temperature"))
    assert (sampling.repeat_last_n, sampling.tfs_z, sampling.typical_p) == (-1, 0.9, 0.8)
    assert sampling.dry_sequence_breakers == ("\n", "end")
    assert load("--dry-sequence-breaker", "none").sampling == {"dry_sequence_breakers": ()}


def test_precedence(tmp_path: Path) -> None:
    file = write(tmp_path / "c.toml", 'port = 1\nparallel = 2\nctx_size = 3\nalias = ["a", "b"]\n')
    environment = {"PADDOCK_PORT": "11", "PADDOCK_PARALLEL": "12", "PADDOCK_CONFIG": file}
    settings = load("--port", "21", **environment)
    assert (settings.port, settings.parallel, settings.ctx_size, settings.host) == (21, 12, 3, "127.0.0.1")
    assert settings.alias == ("a", "b")
    assert load("--config", file).port == 1


def test_the_last_of_a_flag_given_twice_counts() -> None:
    assert load("--port", "1", "--port", "2").port == 2


def test_lists_are_written_with_their_separator_or_as_toml_arrays(tmp_path: Path) -> None:
    file = write(
        tmp_path / "c.toml",
        'tensor-split = [3, 1]\nsamplers = ["top_k", "min_p"]\ndry-sequence-breaker = [";", ","]\nseed = 4\n',
    )
    settings = load("--config", file, PADDOCK_ALIAS="x, y")
    assert settings.tensor_split == (3.0, 1.0)
    assert settings.alias == ("x", "y")
    assert settings.sampling == {"samplers": ("top_k", "min_p"), "dry_sequence_breakers": (";", ","), "seed": 4}


def test_booleans() -> None:
    assert load(PADDOCK_IGNORE_EOS="on").sampling == {"ignore_eos": True}
    assert load(PADDOCK_IGNORE_EOS="0").sampling == {"ignore_eos": False}
    assert refusal(PADDOCK_IGNORE_EOS="maybe") == "PADDOCK_IGNORE_EOS must be true or false, not 'maybe'"


def test_a_kubernetes_service_called_paddock_does_no_harm() -> None:
    settings = load(PADDOCK_PORT="tcp://10.0.0.1:80", PADDOCK_SERVICE_HOST="10.0.0.1", PADDOCK_PORT_80_TCP="x")
    assert settings.port == 8000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--port 65536", "--port must be a whole number from 0 to 65535, not '65536'"),
        ("--port x", "--port must be a whole number from 0 to 65535, not 'x'"),
        ("-np 0", "-np must be a whole number from 1 to 128, not '0'"),
        ("-c 1.5", "-c must be a whole number of at least 0, not '1.5'"),
        ("--temp nan", "--temp must be a number of at least 0, not 'nan'"),
        ("--temp inf", "--temp must be a number of at least 0, not 'inf'"),
        ("-to 0", "-to must be a number above 0, not '0'"),
        ("--top-p 1.01", "--top-p must be a number from 0 to 1, not '1.01'"),
        ("-fa yes", "-fa must be one of on, off, auto, not 'yes'"),
        ("-ngl most", "-ngl must be a whole number, auto or all, not 'most'"),
        ("-ts 1,x", "-ts must be numbers separated by commas, not '1,x'"),
        ("-s -2", "-s must be a whole number from -1 to 4294967295, not '-2'"),
        ("--port", "--port: expected one argument"),
        ("--prot 1", "unknown flag --prot (--port?)"),
        ("--nothing-like-it", "unknown flag --nothing-like-it"),
        ("-hq", "unknown flag -hq"),
        ("a b", "unexpected argument b"),
        ("a -m b", "MODEL and --model both name a model: give one"),
        ("--config nowhere.toml", "cannot read nowhere.toml: No such file or directory"),
    ],
)
def test_wrong_command_lines(arguments: str, message: str) -> None:
    assert refusal(*arguments.split()) == message


@pytest.mark.parametrize("seed", ["-1", "4294967295"])
def test_seeds_that_llama_cpp_takes_for_none(seed: str) -> None:
    assert load("--seed", seed).sampling == {"seed": None}


def test_samplers_in_every_spelling_that_llama_server_takes(tmp_path: Path) -> None:
    settings = load("--samplers", "top-k; TopP ;typical_p;typ;min-p;nucleus;temp;infill;adaptive-p")
    names = ("top_k", "top_p", "typ_p", "typ_p", "min_p", "top_p", "temperature", "infill", "adaptive_p")
    assert settings.sampling == {"samplers": names}
    file = write(tmp_path / "c.toml", 'samplers = ["top-k", "temp"]\n')
    assert load("--config", file).sampling == {"samplers": ("top_k", "temperature")}


def test_an_unknown_sampler_is_named_with_those_there_are() -> None:
    message = refusal("--samplers", "top_k;guess")
    assert "min_p" in message
    assert "top_k;guess" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = 70000", "port must be a whole number from 0 to 65535, not 70000"),
        ('port = "x"', "port must be a whole number from 0 to 65535, not 'x'"),
        ("port = true", "port must be a whole number from 0 to 65535, not True"),
        ("parallell = 2", "parallell is no setting (parallel?)"),
        ('samplers = ["guess"]', "samplers must be names separated by semicolons"),
        ("ignore-eos = 1", "ignore-eos must be true or false, not 1"),
        ("port = ", "Invalid value (at end of document)"),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path / "c.toml", text)
    assert refusal("--config", file).startswith(f"{file}: {message}")


@pytest.mark.parametrize("flag", NOT_OURS)
def test_flags_that_llama_server_has_are_explained(flag: str) -> None:
    assert refusal(flag) == f"{flag} is no flag here: {NOT_OURS[flag]}"


def spellings(setting: Setting) -> list[str]:
    return [*setting.flags, *setting.shorthands]


def test_settings_are_told_apart() -> None:
    flags = [flag for setting in SETTINGS for flag in spellings(setting)]
    assert len(set(flags)) == len(flags)
    assert len({setting.env for setting in SETTINGS}) == len(SETTINGS)
    assert not set(flags) & set(NOT_OURS)
    assert {setting.group for setting in SETTINGS} == set(GROUPS)


def test_every_setting_is_reached_and_none_is_dead() -> None:
    """Each name is a field of Settings or of SamplingParams, and each field but `logit_bias` and the like is there."""
    names = {setting.name for setting in SETTINGS}
    assert names == ({field.name for field in dataclasses.fields(Settings)} - {"sampling"}) | (
        set(SamplingParams.__struct_fields__) - {"logit_bias", "min_keep", "min_tokens"}
    )


def test_an_empty_key_is_not_none() -> None:
    with pytest.raises(UsageError, match="PADDOCK_API_KEY is empty"):
        load_settings([], {"PADDOCK_API_KEY": ""})


def test_an_empty_variable_says_nothing() -> None:
    assert load_settings([], {"PADDOCK_MODEL": "", "PADDOCK_PORT": ""}) == load_settings([], {})


def test_several_models(tmp_path: Path) -> None:
    assert load("-m", "a.gguf", "--model", "b.gguf").model == ("a.gguf", "b.gguf")
    assert load(PADDOCK_MODEL="a.gguf").model == ("a.gguf",)
    file = write(tmp_path / "paddock.toml", 'model = ["a.gguf", "b.gguf"]\nmodels-autoload = false\nmodels-memory = 9')
    settings = load("--config", file)
    assert (settings.model, settings.models_autoload, settings.models_memory) == (("a.gguf", "b.gguf"), False, 9)
    assert load("--config", file, "-m", "c.gguf", "--models-autoload").model == ("c.gguf",)
    assert load("--config", file, "--models-autoload").models_autoload
    assert not load("--no-models-autoload").models_autoload
    assert load().models_autoload and load().models_max == 4
