"""Which server a command talks to: one of its own, for which it takes the flags of `serve`, or the one at --url."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from server.command_line import UsageError
from server.commands.command import CommandError
from server.config import GROUPS, SETTINGS, Settings, access, http, limits, logging, overload
from server.config.settings import SAMPLING
from server.config.sources import add_flags, settings_of
from server.model_source import ModelNotFound, hub_model, in_hub, local_model
from server.terminal.visible import visible

if TYPE_CHECKING:
    from server.terminal.client import Client

OF_NO_USE = (http.GROUP, overload.GROUP, access.GROUP, limits.GROUP, logging.GROUP)
"""Nobody else uses a command's own server."""
KEY_ENV = "PADDOCK_API_KEY"


def add_target(parser: argparse.ArgumentParser) -> None:
    """--url and what goes with it, and then `serve`'s flags."""
    group = parser.add_argument_group("Server")
    group.add_argument(
        "--url",
        help="talk to the OpenAI-compatible server at this URL, as http://127.0.0.1:8000/v1, instead of to one that is "
        "started for the occasion; -m is a name then: one of the server's models (default: its first)",
    )
    group.add_argument(
        "--api-key",
        dest="url_key",
        metavar="KEY",
        help=f"the key for --url. Other users of the machine can see it: rather set ${KEY_ENV}",
    )
    add_flags(parser, (group for group in GROUPS if group not in OF_NO_USE))


@dataclass(frozen=True)
class Connection:
    client: Client
    options: dict[str, Any]
    """Fields of each request that flags ask for; of samplers, those that the server's defaults don't have from them."""
    check: Callable[[], None]
    """Raises CommandError if the server is this command's own and has ended."""


@contextmanager
def connected(args: argparse.Namespace, model: str | None) -> Iterator[Connection]:
    """The server that the flags of `add_target` ask for, until the end of the body. `model`: a positional argument's.

    Raises UsageError, and CommandError if a server can't be started or reached.
    """
    given = {name: value for name, value in vars(args).items() if name in FLAGS and value is not None}
    if args.url is not None:
        name, options = _elsewhere(given, model)
        key = args.url_key or os.environ.get(KEY_ENV, "").partition(",")[0].strip() or None
        with _client(args.url, key, name) as client:
            yield Connection(client, options, lambda: None)
        return
    if args.url_key is not None:
        raise UsageError("--api-key is for --url")
    settings = settings_of({**given, "MODEL": model})
    _have(settings)
    from server.terminal.own_server import own_server

    unlimited = dataclasses.replace(settings, n_predict=-1)
    with own_server(unlimited) as server, _client(server.url, server.api_key, None) as client:
        yield Connection(client, _limit(settings), server.check)


def _have(settings: Settings) -> None:
    """Download the model if need be, while the progress can be seen: the server's log can't. Raises CommandError."""
    for name in settings.model[:1]:
        try:
            if (hub := in_hub(name, settings.hf_file)) is not None:
                hub_model(hub, settings.hub_access(), _say)
            else:
                local_model(name)
        except ModelNotFound as error:
            raise CommandError(str(error)) from None


def _say(line: str) -> None:
    sys.stderr.write(f"{visible(line)}\n")  # the Hub has a say in it


def _elsewhere(given: dict[str, Any], model: str | None) -> tuple[str | None, dict[str, Any]]:
    """The model's name, and the fields that sampling flags are in a request."""
    named = given.pop("model", None)
    if named and model is not None:
        raise UsageError("MODEL and --model both name a model: give one")
    for name, notes in given.items():
        if name not in SAMPLING_NAMES:
            flag = notes[-1][1] if isinstance(notes, list) else f"--{name}"
            raise UsageError(f"{flag} is for a server that is started here: the one at --url has settings of its own")
    settings = settings_of(given, {})
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.sampling.items()}
    options = {name: value for name, value in options.items() if value is not None} | _limit(settings)
    return (named[-1][0] if named else model), options


def _limit(settings: Settings) -> dict[str, Any]:
    return {} if settings.n_predict < 0 else {"max_tokens": settings.n_predict}


@contextmanager
def _client(url: str, key: str | None, model: str | None) -> Iterator[Client]:
    from server.terminal.client import Client, ServerError  # httpx2 takes its time: the own server has begun already

    try:
        client = Client(url, key, model)
    except ServerError as error:
        raise CommandError(str(error)) from None
    with closing(client):
        yield client


FLAGS = {setting.name for setting in SETTINGS if setting.group not in OF_NO_USE} | {"config"}
SAMPLING_NAMES = {setting.name for setting in SETTINGS if setting.group == SAMPLING}
