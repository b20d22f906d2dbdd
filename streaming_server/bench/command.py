"""The options of `run.py bench`."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from streaming_server.bench.chores import ChoreName
from streaming_server.bench.wires import DoorName
from streaming_server.settings import CommandOptions, comma_separated

Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], NoDecode, BeforeValidator(comma_separated)]
Doors = Annotated[tuple[DoorName, ...], NoDecode, BeforeValidator(comma_separated)]


class BenchCommand(CommandOptions):
    """Measure first audio, underruns and cost under load, compared with a bare socket replaying the frames.

    Sessions start at random times during the ramp, which is not measured. Each session streams a reply of two
    to four sentences (three to five seconds) word by word, listens to it in real time, pauses and starts the
    next. A server that is late therefore gets slightly less work.
    """

    model_config = SettingsConfigDict(cli_shortcuts={"as-json": "json"})

    url: str | None = Field(None, description="server to measure; by default one is started")
    key: SecretStr | None = Field(None, description="API key of that server")
    max_workers: int | None = Field(None, ge=1, le=64, description="workers of the server that is started")
    sessions: Counts = Field(
        (1, 50, 200, 400), min_length=1, description="concurrent sessions, comma-separated; one row for each"
    )
    tokens_per_second: float = Field(
        50.0, gt=0, le=150, description="rate at which text arrives, in words per second"
    )
    seconds: float = Field(
        20.0,
        ge=1,
        description="measured seconds of each row; up to three times as many for under five turns",
    )
    ramp: float = Field(10.0, ge=0, description="seconds over which sessions start; not measured")
    think: float = Field(0.5, ge=0, description="mean pause between two replies, in seconds")
    seed: int = Field(1, description="random seed")
    door: Doors = Field(
        (),
        description="compare these protocols with the native websocket, not with the bare socket; "
        f"comma-separated: {', '.join(get_args(DoorName))}",
    )
    rounds: int = Field(
        6, ge=1, description="measurements of each --door or way, in turn; the table shows medians"
    )
    gateway: bool = Field(
        False,
        description="compare the server behind HAProxy, as shipped, with the same server alone, not with "
        "the bare socket; in --rounds",
    )
    beside: ChoreName | None = Field(
        None,
        description="instead of the bare socket, measure each row again while clients upload voice samples "
        "(four, 60 s each), have them transcribed (one, 10 s each) or run mp3 jobs (four)",
    )
    no_ceiling: bool = Field(False, description="do not measure the bare socket")
    engine_alone: bool = Field(
        False,
        description="also measure the audio that the engine makes without a server, and the share of its "
        "sessions that the server holds",
    )
    find_limit: bool = Field(
        False,
        description="add sessions until fewer than 99 % are free of underruns over 100 ms",
    )
    limit_start: int = Field(400, ge=1, description="sessions at which --find-limit starts")
    limit_step: int = Field(200, ge=1, description="sessions that --find-limit adds in each step")
    limit_stop: int = Field(4000, ge=1, description="sessions at which --find-limit stops")
    soak: bool = Field(
        False,
        description="instead, run --sessions (50) for --seconds (600), a tenth of the turns cut short; kill "
        "a worker every two minutes; fail if anything grows, slows down or errs without a reason",
    )
    as_json: bool = Field(False, description="print JSON instead of a table")
