"""`paddock serve`: its flags are the settings (`server/config/`), the work is `server/serve.py`'s."""

from __future__ import annotations

import argparse

from server.commands.command import Command, CommandError
from server.commands.devices import list_devices
from server.config.sources import CONFIG_ENV, NOT_OURS, add_settings, settings_of


def run(args: argparse.Namespace) -> int:
    settings = settings_of(vars(args))
    if args.list_devices:
        return list_devices(settings.rpc, as_json=False)
    from server.serve import StartError, serve  # the HTTP stack

    try:
        return serve(settings)
    except StartError as error:
        raise CommandError(str(error)) from None
    except KeyboardInterrupt:  # before the event loop heeds signals
        return 0


def configure(parser: argparse.ArgumentParser) -> None:
    add_settings(parser)
    parser.add_argument("--list-devices", action="store_true", help="print what `paddock devices` prints, and exit")


COMMAND = Command(
    usage="[MODEL] [flags]",
    summary="serve a GGUF model as OpenAI's API does",
    description="MODEL: its file; left out: the demo model.",
    epilog="Each flag is also an environment variable (shown as $NAME) and a key in the TOML file of --config "
    f"[${CONFIG_ENV}]: flags win over the environment, the environment over the file.",
    configure=configure,
    run=run,
    refused=NOT_OURS,
)
