"""One frozen settings object, from flags and `DIA_*` variables. It is passed, never global."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from streaming_server.pool.devices import GpuMode


def comma_separated(value: Any) -> Any:
    """A comma-separated string, or a list of such, as a list of its parts."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list | tuple):
        return [part.strip() for item in value for part in str(item).split(",") if part.strip()]
    return value


def _pairs(value: Any) -> Any:
    """`name=voice` pairs, comma-separated or in a list of such, as a dictionary."""
    if isinstance(value, dict):
        return value
    pairs = [part.partition("=") for part in comma_separated(value)]
    if any(not (name and voice) for name, _, voice in pairs):
        raise ValueError("each alias is written name=voice")
    return {name: voice for name, _, voice in pairs}


Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(comma_separated)]
Numbers = Annotated[tuple[int, ...], NoDecode, BeforeValidator(comma_separated)]
Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(comma_separated)]
Aliases = Annotated[Mapping[str, str], NoDecode, BeforeValidator(_pairs)]

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
"""OpenAI's thirteen voices, and who speaks for each."""


_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]+", re.IGNORECASE)


class Settings(BaseSettings):
    """Everything an operator can choose. A flag `--max-workers 4` and `DIA_MAX_WORKERS=4` say the same."""

    model_config = SettingsConfigDict(
        env_prefix="DIA_",
        frozen=True,
        extra="ignore",
        cli_kebab_case=True,
        cli_implicit_flags="toggle",
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_shortcuts={"max-workers": "workers", "gpu-ids": "gpus"},
    )

    host: str = Field(
        "127.0.0.1", description="address to listen on; beyond loopback needs a key or --no-auth"
    )
    port: int = Field(7860, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    wyoming_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="port for Wyoming, as Home Assistant speaks it (10200 there); none unless said",
    )
    wyoming_host: str | None = Field(
        None,
        description="address for Wyoming, which knows no keys: beyond loopback it needs --no-auth; "
        "by default as --host",
    )
    engine: str = Field("auto", description="the engine that speaks; its own options are listed below")
    max_workers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="worker processes; by default one per GPU; on a CPU the engine decides",
    )
    gpu_mode: GpuMode = Field("auto", description="GPUs to use: all that are wanted, one, or none")
    gpu_ids: Numbers = Field((), description="physical GPU ids to use, comma-separated; by default all")
    worker_start_timeout_s: float | None = Field(
        None,
        gt=0,
        description="seconds from the start of a worker to its first audio; by default as the engine needs",
    )

    voice_aliases: Aliases = Field(
        default_factory=lambda: dict(OPENAI_VOICES),
        description="other names of voices, as alloy=aria,ash=atlas; by default OpenAI's thirteen",
    )

    samples_dir: Path | None = Field(
        None,
        description="samples to take in, with their .txt or .reference.txt; by default samples/ in the data",
    )
    max_upload_bytes: int = Field(32 * 2**20, ge=1024, description="largest sample sent, in bytes")
    upload_timeout_s: float = Field(60.0, gt=0, description="seconds a sample may take to arrive")
    save_outputs: bool = Field(True, description="keep a copy of what /generate made")
    max_output_bytes: int = Field(
        2 * 2**30, ge=0, description="disk space for those copies, in bytes; the oldest are deleted first"
    )
    retention_hours: float = Field(24.0, ge=0.01, le=8760, description="hours results and copies are kept")
    whisper_model: str = Field(
        "base", description="Whisper's size, or a file of its weights, for the transcripts of samples"
    )
    data_dir: Path = Field(Path("data"), description="where voices, voice samples and results are kept")

    api_keys: Secrets = Field(
        (), description="keys that open the server, comma-separated; none: no key needed"
    )
    no_auth: bool = Field(
        False, description="listen beyond loopback without a key; Wyoming, even where there are keys"
    )
    allowed_origins: Texts = Field(
        (), description="origins of web pages that may connect, as scheme://host:port, comma-separated"
    )

    max_connections: int = Field(2000, ge=1, description="websockets at once")
    max_contexts: int = Field(32, ge=1, description="open contexts per connection")
    max_message_bytes: int = Field(65536, ge=1024, description="largest message a client may send, in bytes")
    max_text_characters: int = Field(8192, ge=1, description="longest text in one message")
    max_context_characters: int = Field(102_400, ge=1, description="longest text of one context")
    messages_per_second: float = Field(500.0, ge=1, description="messages a connection may send, sustained")
    max_lead_ms: int = Field(
        10_000, ge=200, description="audio sent ahead of real time, unless a client asks otherwise"
    )
    max_status_connections: int = Field(100, ge=1, description="status channels at once")
    header_timeout_s: float = Field(10.0, gt=0, description="seconds a request has to arrive in")
    ping_s: float = Field(
        20.0, gt=0, description="seconds between websocket pings, and for the answer to one"
    )
    auth_timeout_s: float = Field(5.0, gt=0, description="seconds a browser has to send its key")
    send_timeout_s: float = Field(5.0, gt=0, description="seconds a client may leave a message unread")
    stall_timeout_s: float = Field(
        60.0, gt=0, description="seconds a client's playback may stand still while speech waits for it"
    )
    drain_timeout_s: float = Field(
        30.0, ge=0, description="seconds open contexts get to finish when the server is told to stop"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level to log")
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="text for a terminal, JSON otherwise, unless said"
    )
    debug: bool = Field(False, description="log at debug level")
    show_prompts: bool = Field(False, description="log the text that is spoken")

    @property
    def samples_directory(self) -> Path:
        return self.samples_dir or self.data_dir / "samples"

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin: it is written scheme://host:port, without a path")
        return origins

    @model_validator(mode="after")
    def _keys_that_are_set_are_keys(self) -> Self:
        """A variable that came out empty would open the server to everybody."""
        if "api_keys" in self.model_fields_set and not self.api_keys:
            raise ValueError("--api-keys (DIA_API_KEYS) holds no key: leave it out if none is needed")
        return self

    @model_validator(mode="after")
    def _beyond_loopback_needs_a_key(self) -> Self:
        if not self.api_keys and not self.no_auth and not is_loopback(self.host):
            raise ValueError(
                f"listening on {self.host} lets anybody in: set DIA_API_KEYS (--api-keys), or say --no-auth"
            )
        return self

    @model_validator(mode="after")
    def _wyoming_knows_no_keys(self) -> Self:
        host = self.wyoming_host or self.host
        if self.wyoming_port is not None and not self.no_auth and not is_loopback(host):
            raise ValueError(
                f"Wyoming knows no keys, so that listening on {host} lets anybody in: say --no-auth if they "
                "may, or --wyoming-host 127.0.0.1"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether an address or name can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
