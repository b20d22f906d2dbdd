"""Flags of a command, from its settings class."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Sequence
from inspect import getdoc
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic_settings import BaseSettings, CliApp, CliSettingsSource

from streaming_server.cli.setting_errors import explained

Command = TypeVar("Command", bound=BaseSettings)

METAVARS = MappingProxyType(
    {
        "str": "TEXT",
        "int": "N",
        "float": "N",
        "Path": "PATH",
        "SecretStr": "KEY",
        "tuple[int,...]": "N,…",
        "tuple[str,...]": "TEXT,…",
        "tuple[SecretStr,...]": "KEY,…",
        "Mapping[str,str]": "NAME=VOICE,…",
    }
)
"""Placeholder of each type in the help."""

METAVARS_OF_FLAGS = MappingProxyType({"--database": "URL", "--objects": "URL"})
"""Placeholders of flags whose type does not say what they take."""

_NOTHING = re.compile(r" \(default(?: factory: [^)]*|: (?:None|null|False|\(\)))\)$")
"""Defaults that the help leaves out: its description names those that matter."""

_ON = " (default: True)"

_LISTED = re.compile(r"\(default: \((.+)\)\)$")


def read_flags(command: type[Command], name: str, arguments: Sequence[str]) -> Command:
    """Return the command as flags and `DIA_*` variables configure it. Raise BadValue; `--help` exits.

    name: program and command in the help, such as "run.py say".
    """
    with explained(command.model_json_schema):
        return CliApp.run(command, cli_args=list(arguments), cli_settings_source=flag_source(command, name))


def flag_source(command: type[BaseSettings], name: str) -> CliSettingsSource[Any]:
    """Return the source of a command's flags; more can be added to its `root_parser`."""
    source = CliSettingsSource[Any](
        command,
        cli_prog_name=name,
        cli_shortcuts=command.model_config.get("cli_shortcuts"),
        add_argument_method=_add_argument,
    )
    source.root_parser.description = getdoc(command)
    return source


def _add_argument(parser: ArgumentParser, *names: str, **options: Any) -> Any:
    metavar = options.get("metavar")
    if isinstance(metavar, str):
        several = "NAME,…" if metavar.startswith("tuple[") else metavar
        options["metavar"] = METAVARS_OF_FLAGS.get(names[0]) or METAVARS.get(metavar, several)
    if isinstance(options.get("help"), str):
        if names[0].startswith("--no-") and options["help"].endswith(_ON):
            options["help"] = f"do not {options['help'].removesuffix(_ON)}"  # The flag turns it off.
        options["help"] = _LISTED.sub(_commas, _NOTHING.sub("", options["help"]))
    return parser.add_argument(*names, **options)


def _commas(default: re.Match[str]) -> str:
    """Return the default of a list as it would be typed."""
    plain = default[1].replace("'", "").replace(", ", ",").rstrip(",")
    return f"(default: {plain})"
