"""Settings from flags and variables."""

import socket

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp

from streaming_server.hosts import is_loopback
from streaming_server.settings import Settings


def from_flags(*flags: str) -> Settings:
    return CliApp.run(Settings, cli_args=list(flags))


@pytest.mark.parametrize(
    ("flag", "variable", "value", "field", "expected"),
    [
        ("--host", "DIA_HOST", "::1", "host", "::1"),
        ("--port", "DIA_PORT", "8000", "port", 8000),
        ("--max-workers", "DIA_MAX_WORKERS", "4", "max_workers", 4),
        ("--workers", "DIA_MAX_WORKERS", "4", "max_workers", 4),
        ("--gpu-mode", "DIA_GPU_MODE", "single", "gpu_mode", "single"),
        ("--gpu-ids", "DIA_GPU_IDS", "2,0", "gpu_ids", (2, 0)),
        ("--gpus", "DIA_GPU_IDS", "1", "gpu_ids", (1,)),
        (
            "--allowed-origins",
            "DIA_ALLOWED_ORIGINS",
            "https://a.example, http://b:3",
            "allowed_origins",
            ("https://a.example", "http://b:3"),
        ),
        ("--log-level", "DIA_LOG_LEVEL", "warning", "log_level", "warning"),
        ("--max-lead-ms", "DIA_MAX_LEAD_MS", "2000", "max_lead_ms", 2000),
        ("--node", "DIA_NODE", "gpu-3.example", "node", "gpu-3.example"),
    ],
)
def test_a_flag_and_its_variable_agree(
    monkeypatch: pytest.MonkeyPatch, flag: str, variable: str, value: str, field: str, expected: object
) -> None:
    assert getattr(from_flags(flag, value), field) == expected
    monkeypatch.setenv(variable, value)
    assert getattr(from_flags(), field) == expected


@pytest.mark.parametrize(
    ("flag", "variable"),
    [("--debug", "DIA_DEBUG"), ("--show-prompts", "DIA_SHOW_PROMPTS"), ("--no-auth", "DIA_NO_AUTH")],
)
def test_switches(monkeypatch: pytest.MonkeyPatch, flag: str, variable: str) -> None:
    field = flag.removeprefix("--").replace("-", "_")
    assert getattr(from_flags(), field) is False
    assert getattr(from_flags(flag), field) is True
    monkeypatch.setenv(variable, "1")
    assert getattr(from_flags(), field) is True


def test_a_flag_overrides_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIA_PORT", "1")
    assert from_flags("--port=2").port == 2


def test_keys_are_split_and_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIA_API_KEYS", "first, second")
    settings = from_flags()
    assert [key.get_secret_value() for key in settings.api_keys] == ["first", "second"]
    assert "first" not in repr(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_loopback_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    assert from_flags("--host", host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com"])
def test_other_addresses_need_a_key_or_no_auth(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(ValidationError, match="--no-auth"):
        from_flags("--host", host)
    assert from_flags("--host", host, "--no-auth").no_auth
    assert from_flags("--host", host, "--api-keys", "k").api_keys


def test_a_node_is_named_after_its_host() -> None:
    assert from_flags().node == socket.gethostname()


def test_wyoming_is_off_without_a_port() -> None:
    assert from_flags().wyoming_port is None
    assert from_flags("--wyoming-port", "10200").wyoming_port == 10200


@pytest.mark.parametrize(
    "flags",
    [
        ["--host", "0.0.0.0", "--api-keys", "k"],
        ["--wyoming-host", "0.0.0.0"],
        ["--wyoming-host", "0.0.0.0", "--api-keys", "k"],
    ],
    ids=" ".join,
)
def test_wyoming_beyond_loopback_needs_no_auth(flags: list[str]) -> None:
    with pytest.raises(ValidationError, match="Wyoming has no keys"):
        from_flags("--wyoming-port", "10200", *flags)
    assert from_flags("--wyoming-port", "10200", *flags, "--no-auth").no_auth
    assert from_flags("--wyoming-port", "10200", *flags, "--wyoming-host", "127.0.0.1").wyoming_port


@pytest.mark.parametrize(
    "flags", [["--port", "99999"], ["--wyoming-port", "-1"], ["--max-workers", "0"], ["--node", "a b"]]
)
def test_values_out_of_range_are_rejected(flags: list[str]) -> None:
    with pytest.raises((ValidationError, SystemExit)):
        from_flags(*flags)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--allowed-origins", "foo"], "scheme://host:port"),
        (["--allowed-origins", "https://a.example/page"], "without a path"),
        (["--api-keys", ""], "no key"),
        (["--database", "mysql://host/name"], "postgresql://"),
        (["--objects", "ftp://bucket/prefix"], "must be s3://BUCKET/PREFIX"),
        (["--objects", "s3://key:secret@bucket"], "must be s3://BUCKET/PREFIX"),
        (["--node", 'a b"'], "letters, digits"),
    ],
)
def test_meaningless_values_are_rejected(flags: list[str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        from_flags(*flags)


@pytest.mark.parametrize("name", ["DIA_API_KEYS", "DIA_ADMIN_KEYS"])
def test_empty_keys_do_not_disable_authentication(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "")
    with pytest.raises(ValidationError, match=name):
        from_flags()


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        from_flags().port = 1  # type: ignore[misc]
