"""The command line: serve, say and bench."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from types import MappingProxyType

from pydantic_settings import CliApp

from streaming_server.cli.engine_flags import EngineFlags
from streaming_server.cli.flags import flag_source, read_flags
from streaming_server.cli.setting_errors import explained
from streaming_server.cli.signals import raise_once
from streaming_server.engines.registry import installed_engines
from streaming_server.engines.selection import SelectedEngine, select_engine, settings_schema
from streaming_server.errors import SpeechError
from streaming_server.settings import Settings
from streaming_server.version import package_version

USAGE = """usage: python run.py [serve] [options]       run the server (default)
       python run.py say TEXT [options]      speak a text into a file
       python run.py bench [options]         measure latency, underruns and cost under load
       python run.py --version

Run `python run.py COMMAND --help` for the options of a command. Every option of serve can also be set by an
environment variable: DIA_PORT=8000 for --port 8000."""


EARLIER_FLAGS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "--dev": ("--debug", "--show-prompts"),
        "--force-cpu": ("--gpu-mode=cpu",),
        "--no-torch-compile": (),
        "--production": ("--no-save-outputs",),
        "--save-outputs": (),
    }
)
"""Switches of the earlier Dia server, which scripts still pass, and the flags they stand for."""

EARLIER_VARIABLES: Mapping[str, str] = MappingProxyType({"--no-torch-compile": "DIA_DISABLE_TORCH_COMPILE"})
"""Switches of the earlier server that configure Dia. Like variables, they do nothing with other engines."""

COMPLAIN_S = 1.0
"""Seconds to wait for room in standard error."""


def main(arguments: Sequence[str]) -> int:
    """Run a command and return the exit status."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command, rest = "serve", list(arguments)
    if rest and rest[0] in COMMANDS:
        command = rest.pop(0)
    elif rest and rest[0] in ("-h", "--help"):
        print(USAGE + "\n")  # noqa: T201
    elif rest and rest[0] == "--version":
        print(package_version())  # noqa: T201
        return 0
    elif rest and not rest[0].startswith("-"):
        return _complain(f"Unknown command {rest[0]!r}.\n\n{USAGE}")
    try:
        return COMMANDS[command](rest)
    except SpeechError as error:
        return _complain(error.message)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return 130


def _serve(arguments: list[str]) -> int:
    settings, engine = settings_of(arguments)
    from streaming_server import logs
    from streaming_server.web.server import serve

    with logs.configured(settings):
        return serve(settings, engine)


def _say(arguments: list[str]) -> int:
    from streaming_server.cli.say import SayCommand, say

    raise_once()
    words = list(takewhile(lambda word: word == "-" or not word.startswith("-"), arguments))
    text = [" ".join(words)] if words else []
    return say(read_flags(SayCommand, "run.py say", [*text, *arguments[len(words) :]]))


def _bench(arguments: list[str]) -> int:
    from streaming_server.bench.command import BenchCommand
    from streaming_server.bench.load import bench

    raise_once()
    return bench(read_flags(BenchCommand, "run.py bench", arguments))


def settings_of(arguments: Sequence[str]) -> tuple[Settings, SelectedEngine]:
    """Return the server's settings and its engine, from flags and variables; `--help` exits.

    The earlier server's flags are understood. Raise BadValue, EngineFailure.
    """
    source = flag_source(ServeCommand, "run.py serve")
    engine_flags = EngineFlags(source.root_parser, installed_engines())
    current = [word for argument in arguments for word in EARLIER_FLAGS.get(argument, (argument,))]
    with explained(ServeCommand.model_json_schema):
        settings = CliApp.run(ServeCommand, cli_args=current, cli_settings_source=source)
    earlier = {variable: "1" for switch, variable in EARLIER_VARIABLES.items() if switch in arguments}
    flags = engine_flags.given_to(settings.engine)
    with explained(lambda: settings_schema(settings.engine)):
        engine = select_engine(settings.engine, flags, {**os.environ, **earlier})
    return settings, engine


class ServeCommand(Settings):
    """Run the server. Every option can also be set by a variable: DIA_MAX_WORKERS=4 for --max-workers 4."""


COMMANDS: dict[str, Callable[[list[str]], int]] = {"serve": _serve, "say": _say, "bench": _bench}


def _complain(message: str) -> int:
    """Print the message, unless standard error is a pipe without a reader; return the exit status."""
    if select.select([], [sys.stderr], [], COMPLAIN_S)[1]:
        print(f"run.py: {message}", file=sys.stderr)  # noqa: T201
    return 2
