"""The server's settings, from flags and `DIA_*` variables."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from streaming_server.hosts import is_loopback
from streaming_server.types import GpuMode


def comma_separated(value: Any) -> Any:
    """Split a comma-separated string, or a list of such strings, into its parts."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        return [part.strip() for item in value for part in str(item).split(",") if part.strip()]
    return value


def _pairs(value: Any) -> Any:
    """Return comma-separated `name=voice` pairs as a dictionary."""
    if isinstance(value, dict):
        return value
    pairs = [part.partition("=") for part in comma_separated(value)]
    if any(not (name and voice) for name, _, voice in pairs):
        raise ValueError("must be NAME=VOICE pairs, comma-separated")
    return {name: voice for name, _, voice in pairs}


Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(comma_separated)]
Numbers = Annotated[tuple[int, ...], NoDecode, BeforeValidator(comma_separated)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(comma_separated)]
PacedDoor = Literal["cartesia", "deepgram", "elevenlabs", "kyutai", "wyoming"]
Doors = Annotated[tuple[PacedDoor, ...], NoDecode, BeforeValidator(comma_separated)]
Pairs = Annotated[Mapping[str, str], NoDecode, BeforeValidator(_pairs)]

OPENAI_VOICES: Mapping[str, str] = MappingProxyType(
    {
        "alloy": "aria",
        "ash": "atlas",
        "ballad": "luna",
        "cedar": "atlas",
        "coral": "luna",
        "echo": "kai",
        "fable": "kai",
        "marin": "nova",
        "nova": "nova",
        "onyx": "zara",
        "sage": "zara",
        "shimmer": "nova",
        "verse": "aria",
    }
)
"""The built-in voice that stands for each of OpenAI's thirteen."""


_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+", re.IGNORECASE)
"""Scheme, host and optional port; no path."""

_BUCKET = re.compile(r"s3://[^/@:]+(/.*)?")

_NODE = re.compile(r"[A-Za-z0-9._-]+")


class CommandOptions(BaseSettings):
    """The options of a command, from flags and variables: `--max-workers 4` is `DIA_MAX_WORKERS=4`."""

    model_config = SettingsConfigDict(
        env_prefix="DIA_",
        frozen=True,
        extra="ignore",
        cli_kebab_case=True,
        cli_implicit_flags="toggle",
        cli_avoid_json=True,
        cli_hide_none_type=True,
    )


class Settings(CommandOptions):
    """Everything an operator can configure."""

    model_config = SettingsConfigDict(cli_shortcuts={"max-workers": "workers", "gpu-ids": "gpus"})

    host: str = Field(
        "127.0.0.1", description="address to listen on; any but loopback needs --api-keys or --no-auth"
    )
    port: int = Field(7860, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    fd: int | None = Field(
        None,
        ge=0,
        description="listen on this inherited socket instead of --port; it must be bound to --host",
    )
    wyoming_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port for the Wyoming protocol of Home Assistant, usually 10200; off by default",
    )
    wyoming_host: str | None = Field(
        None,
        description="address for Wyoming, which has no keys: any but loopback needs --no-auth; "
        "--host by default",
    )
    engine: str = Field("auto", description="the engine that speaks; its own options are listed below")
    max_workers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="worker processes; by default one per GPU; on a CPU the engine decides",
    )
    gpu_mode: GpuMode = Field("auto", description="GPUs to use: all (auto, multi), one, or none (cpu)")
    gpu_ids: Numbers = Field((), description="physical ids of the GPUs to use; all by default")
    worker_start_timeout_s: float | None = Field(
        None,
        gt=0,
        description="seconds from the start of a worker to its first audio; by default the engine decides",
    )

    voice_aliases: Pairs = Field(
        default_factory=lambda: dict(OPENAI_VOICES),
        description="aliases of voices, as alloy=aria,ash=atlas; OpenAI's thirteen by default",
    )

    unknown_voice: Literal["default", "error"] = Field(
        "error",
        description="for an unknown voice: an error, or the default voice, for clients that send another "
        "vendor's ids",
    )

    speak_code: bool = Field(False, description="speak code blocks in Markdown instead of a pause")
    name_emoji: bool = Field(
        False, description="speak the English names of emoji instead of leaving them out"
    )

    samples_dir: Path | None = Field(
        None,
        description="folder of voice samples to import, each with its .txt or .reference.txt; by default "
        "samples/ in --data-dir",
    )
    max_upload_bytes: int = Field(32 * 2**20, ge=1024, description="largest voice sample to upload, in bytes")
    upload_timeout_s: float = Field(60.0, gt=0, description="seconds an upload may take")
    save_outputs: bool = Field(True, description="keep a copy of the audio that /generate returns")
    max_output_bytes: int = Field(
        2 * 2**30, ge=0, description="disk space for those copies, in bytes; the oldest are deleted first"
    )
    retention_hours: float = Field(24.0, ge=0.01, le=8760, description="hours to keep results and copies")
    whisper_model: str = Field(
        "base", description="size of Whisper, or a file of its weights, for the transcripts of voice samples"
    )
    data_dir: Path = Field(Path("data"), description="folder for voices, voice samples and results")
    database: SecretStr | None = Field(
        None,
        description="PostgreSQL that several servers share, as postgresql://USER:PASSWORD@HOST/NAME; "
        "by default SQLite in --data-dir, for one server",
    )
    objects: str | None = Field(
        None,
        description="S3-compatible store for voice samples and results of jobs, as s3://BUCKET/PREFIX, with "
        "the variables AWS_*; by default files in --data-dir",
    )
    node: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        max_length=253,
        description="name of this server among those that share a database; by default the host's name",
    )

    api_keys: Secrets = Field(
        (), description="keys that clients may use, comma-separated; without any, clients need none"
    )
    admin_keys: Secrets = Field(
        (),
        description="keys required to configure, read the journal, clean up, delete or replace, "
        "comma-separated; they work everywhere else too",
    )
    no_auth: bool = Field(
        False, description="listen beyond loopback without keys; for Wyoming, even if there are keys"
    )
    allowed_origins: Texts = Field(
        (), description="origins of web pages that may connect, as scheme://host:port, comma-separated"
    )

    max_connections: int = Field(2000, ge=1, description="concurrent websockets")
    max_contexts: int = Field(32, ge=1, description="open contexts per websocket")
    max_message_bytes: int = Field(131_072, ge=1024, description="largest websocket message, in bytes")
    max_text_characters: int = Field(8192, ge=1, description="longest text of one message")
    max_context_characters: int = Field(
        102_400, ge=1, description="longest text of one context, at every door"
    )
    messages_per_second: float = Field(500.0, ge=1, description="sustained message rate of a websocket")
    max_lead_ms: int = Field(
        10_000,
        ge=200,
        description="audio sent ahead of real time, on /ws/speak unless the client sets it, and at "
        "--paced-doors",
    )
    paced_doors: Doors = Field(
        ("kyutai", "wyoming"),
        description="vendors' sockets whose audio is sent at most --max-lead-ms ahead of real time, as "
        "cartesia,deepgram,elevenlabs,kyutai,wyoming; the others send as fast as their clients read",
    )
    max_status_connections: int = Field(100, ge=1, description="concurrent status channels")
    header_timeout_s: float = Field(10.0, gt=0, description="seconds a request may take to arrive")
    ping_s: float = Field(
        20.0, gt=0, description="seconds between websocket pings, and to wait for each pong"
    )
    auth_timeout_s: float = Field(5.0, gt=0, description="seconds a browser may take to send its key")
    send_timeout_s: float = Field(5.0, gt=0, description="seconds a client may leave a message unread")
    stall_timeout_s: float = Field(
        60.0, gt=0, description="seconds a client's playback may stand still while audio waits for it"
    )
    drain_timeout_s: float = Field(
        30.0, ge=0, description="seconds that open contexts may take to finish when the server stops"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level to log")
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="auto is text on a terminal and JSON elsewhere"
    )
    debug: bool = Field(False, description="log at debug level")
    show_prompts: bool = Field(False, description="log the text that is spoken")

    @property
    def database_url(self) -> str | None:
        """The URL of the shared database; None for the embedded one."""
        return self.database.get_secret_value() if self.database is not None else None

    @property
    def samples_directory(self) -> Path:
        """The folder to import voice samples from."""
        return self.samples_dir or self.data_dir / "samples"

    @field_validator("allowed_origins")
    @classmethod
    def _require_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        """Return the origins as browsers write them."""
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin; write scheme://host:port, without a path")
        return tuple(origin.lower() for origin in origins)

    @field_validator("database")
    @classmethod
    def _require_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must be postgresql://USER:PASSWORD@HOST:PORT/NAME; leave it out for SQLite")
        return url

    @field_validator("objects")
    @classmethod
    def _require_bucket(cls, url: str | None) -> str | None:
        if url is not None and not _BUCKET.fullmatch(url):
            raise ValueError(
                "must be s3://BUCKET/PREFIX, without a key; leave it out for files in --data-dir"
            )
        return url

    @field_validator("node")
    @classmethod
    def _require_plain_name(cls, name: str) -> str:
        if not _NODE.fullmatch(name):
            raise ValueError("must consist of letters, digits, full stops, hyphens and underscores")
        return name

    @model_validator(mode="after")
    def _reject_empty_keys(self) -> Self:
        """An empty DIA_API_KEYS or DIA_ADMIN_KEYS must not disable authentication."""
        if "api_keys" in self.model_fields_set and not self.api_keys:
            raise ValueError("--api-keys (DIA_API_KEYS) has no key; remove it if clients need none")
        if "admin_keys" in self.model_fields_set and not self.admin_keys:
            raise ValueError("--admin-keys (DIA_ADMIN_KEYS) has no key; remove it if there are none")
        return self

    @model_validator(mode="after")
    def _require_keys_beyond_loopback(self) -> Self:
        if not self.api_keys and not self.no_auth and not is_loopback(self.host):
            raise ValueError(
                f"Without keys, anybody who reaches {self.host} can use the server; set --api-keys "
                "(DIA_API_KEYS), or add --no-auth"
            )
        return self

    @model_validator(mode="after")
    def _require_no_auth_for_wyoming(self) -> Self:
        host = self.wyoming_host or self.host
        if self.wyoming_port is not None and not self.no_auth and not is_loopback(host):
            raise ValueError(
                f"Wyoming has no keys, so anybody who reaches {host} can use the server; add --no-auth, or "
                "use --wyoming-host 127.0.0.1"
            )
        return self
