"""The configuration: precedence of its sources, and rejected values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.databases import Place
from helpers.rest import job_of, say, status_of, to
from helpers.servers import Server, until
from pydantic_settings import CliApp
from structlog.testing import capture_logs

from streaming_server.configuration import Configuration, ServerConfig
from streaming_server.errors import StorageFailure
from streaming_server.settings import Settings
from streaming_server.storage.configuration import ConfigurationStore
from streaming_server.storage.sqlite import SqliteDatabase

DEFAULTS = ServerConfig()


@contextmanager
def configured(data_dir: Path, *flags: str) -> Iterator[Configuration]:
    """Return the configuration after a start with these flags."""
    settings = CliApp.run(Settings, cli_args=list(flags))
    database = SqliteDatabase(data_dir)
    try:
        configuration = Configuration(ConfigurationStore(database), settings)
        configuration.load()
        yield configuration
    finally:
        database.close()


def changed(config: ServerConfig, **values: Any) -> ServerConfig:
    return config.model_copy(update=values)


def test_defaults(tmp_path: Path) -> None:
    with configured(tmp_path) as configuration:
        now = configuration.now
    assert now == changed(DEFAULTS, sources=now.sources)
    assert set(now.sources.values()) == {"default"}
    assert now.sources.keys() == ServerConfig.model_fields.keys() - {"sources"}


def test_stored_values_survive_a_restart(tmp_path: Path) -> None:
    with configured(tmp_path) as configuration:
        configuration.put(changed(configuration.now, output_retention_hours=3.0, auto_transcribe=False))
        assert configuration.now.output_retention_hours == 3.0
    with configured(tmp_path) as configuration:
        now = configuration.now
    assert (now.output_retention_hours, now.auto_transcribe) == (3.0, False)
    assert {name for name, source in now.sources.items() if source == "put"} == {
        "output_retention_hours",
        "auto_transcribe",
    }


@pytest.mark.parametrize("said_by", ["flag", "variable"])
def test_flags_override_stored_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said_by: str) -> None:
    with configured(tmp_path) as configuration:
        config = changed(configuration.now, output_retention_hours=3.0, debug_mode=False, save_outputs=False)
        configuration.put(config)
    if said_by == "variable":
        monkeypatch.setenv("DIA_RETENTION_HOURS", "5")
        monkeypatch.setenv("DIA_DEBUG", "1")
    with configured(
        tmp_path, *(("--retention-hours=5", "--debug") if said_by == "flag" else ())
    ) as configuration:
        now = configuration.now
        assert (now.output_retention_hours, now.debug_mode, now.save_outputs) == (5.0, True, False)
        assert now.sources["output_retention_hours"] == now.sources["debug_mode"] == "start"
        assert now.sources["save_outputs"] == "put"


def test_storing_unchanged_values_does_not_store_flags(tmp_path: Path) -> None:
    """Changing one value requires sending them all."""
    with configured(tmp_path, "--debug", "--retention-hours=5") as configuration:
        configuration.put(changed(configuration.now, auto_transcribe=False))
    with configured(tmp_path) as configuration:
        now = configuration.now
    assert (now.debug_mode, now.output_retention_hours, now.auto_transcribe) == (False, 24, False)


def test_stored_values_return_without_the_flag(tmp_path: Path) -> None:
    with configured(tmp_path) as configuration:
        configuration.put(changed(configuration.now, output_retention_hours=3.0))
    with configured(tmp_path, "--retention-hours=5") as configuration:
        configuration.put(changed(configuration.now, save_outputs=False))
    with configured(tmp_path) as configuration:
        assert configuration.now.output_retention_hours == 3.0


def test_stored_values_apply_at_once_whatever_the_flags(tmp_path: Path) -> None:
    with configured(tmp_path, "--debug") as configuration:
        configuration.put(changed(configuration.now, debug_mode=False))
        assert configuration.now.debug_mode is False
        assert configuration.now.sources["debug_mode"] == "put"
    with configured(tmp_path, "--debug") as configuration:
        assert configuration.now.debug_mode is True
        assert configuration.now.sources["debug_mode"] == "start"


def test_invalid_stored_values_are_ignored(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    ConfigurationStore(database).change(lambda _: {"output_retention_hours": -1, "from_the_future": 1})
    database.close()
    with capture_logs() as logs, configured(tmp_path, "--debug") as configuration:
        assert [line["fields"] for line in logs] == [["output_retention_hours"]]
        assert (configuration.now.output_retention_hours, configuration.now.debug_mode) == (24, True)
        configuration.put(changed(configuration.now, output_retention_hours=2.0))
    with configured(tmp_path) as configuration:
        assert configuration.now.output_retention_hours == 2.0


def test_values_that_cannot_be_stored_do_not_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with configured(tmp_path) as configuration:
        before = configuration.now

        def fail(*_: object) -> None:
            raise StorageFailure("The disk is full; nothing was changed.")

        monkeypatch.setattr(ConfigurationStore, "change", fail)
        with pytest.raises(StorageFailure):
            configuration.put(changed(before, debug_mode=True))
        assert configuration.now == before


def test_servers_that_put_shortly_after_each_other_agree(tmp_path: Path) -> None:
    settings = CliApp.run(Settings, cli_args=[])
    with closing(SqliteDatabase(tmp_path)) as database:
        one, other = (Configuration(ConfigurationStore(database), settings) for _ in range(2))
        one.put(changed(DEFAULTS, output_retention_hours=48.0))
        other.put(changed(DEFAULTS, debug_mode=True))
        one.reload()
        assert one.now == other.now
        assert (one.now.output_retention_hours, one.now.debug_mode) == (24, True)


def test_concurrent_puts_of_two_servers_are_serialised(place: Place) -> None:
    """No value that the later one replaced comes back, whichever it is."""
    settings = CliApp.run(Settings, cli_args=[])
    wanted = [
        changed(DEFAULTS, output_retention_hours=48.0),
        changed(DEFAULTS, debug_mode=True),
        changed(DEFAULTS, auto_transcribe=False),
    ]
    with ExitStack() as stack, ThreadPoolExecutor(len(wanted)) as pool:
        stores = [ConfigurationStore(stack.enter_context(place.opened())) for _ in wanted]
        servers = [Configuration(store, settings) for store in stores]
        for _ in range(10):
            list(pool.map(Configuration.put, servers, wanted))
            for server in servers:
                server.reload()
            last = servers[0].now
            assert all(server.now == last for server in servers)
            assert changed(last, sources={}) in wanted


def test_the_route_reports_the_source_of_each_value(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """The response can be sent back as a request."""
    options = ("--max-workers=1", f"--data-dir={tmp_path / 'kept'}")
    with to(start_server(*options, "--retention-hours=5")) as client:
        config = client.get("/config").json()
        assert config["sources"]["output_retention_hours"] == "start"
        answer = client.put("/config", json=config | {"save_outputs": False})
        assert answer.status_code == 200, answer.text
        assert answer.json()["sources"]["save_outputs"] == "put"
        assert client.get("/config").json() == answer.json()
        assert client.put("/config", json={}).json()["output_retention_hours"] == 24


@pytest.mark.parametrize("model", ["huge", "/nowhere/weights.pt", "/", "\0", "x" * 4096, __file__])
def test_only_models_with_a_name_can_be_chosen_whatever_files_exist(server: Server, model: str) -> None:
    with to(server) as client:
        before = client.get("/config").json()
        answer = client.put("/config", json=before | {"whisper_model_size": model})
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"].startswith(
            "whisper_model_size: must be the model of --whisper-model or one of tiny"
        )
        assert client.get("/config").json() == before


def test_the_model_of_the_command_line_can_be_chosen_again(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    weights = str(tmp_path / "weights.pt")
    with to(start_server("--max-workers=1", f"--whisper-model={weights}")) as client:
        config = client.get("/config").json()
        assert client.put("/config", json=config | {"whisper_model_size": "tiny"}).status_code == 200
        assert client.put("/config", json=config | {"whisper_model_size": weights}).status_code == 200


def test_a_missing_model_from_a_flag_does_not_prevent_changes(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    with to(start_server("--max-workers=1", f"--whisper-model={tmp_path / 'gone.pt'}")) as client:
        config = client.get("/config").json()
        assert client.put("/config", json=config | {"auto_transcribe": False}).status_code == 200


def test_enabling_show_prompts_applies_at_once(start_server: Callable[..., Server]) -> None:
    server = start_server("--max-workers=1")
    with to(server) as client:
        say(client, "This is nobody's business.")
        config = client.get("/config").json()
        client.put("/config", json=config | {"show_prompts": True})
        say(client, "This is shown to the operator.")
        job = job_of(client, "And so is this.")
        until(lambda: status_of(client, job) == "completed")
        client.put("/config", json=config)
        say(client, "This is not shown again.")
    server.until_logged("This is shown to the operator.")
    logged = server.until_logged("And so is this.")
    assert "nobody's business" not in logged
    assert "not shown again" not in logged


def test_a_value_put_on_another_server_overrides_a_flag(tmp_path: Path) -> None:
    with (
        configured(tmp_path) as one,
        configured(tmp_path, "--retention-hours", "5", "--no-save-outputs") as other,
    ):
        one.put(changed(one.now, output_retention_hours=7.0))
        assert other.now.output_retention_hours == 5.0
        other.reload()
        assert (other.now.output_retention_hours, other.now.save_outputs) == (7.0, False)
        assert other.now.sources["output_retention_hours"] == "put"
        assert other.now.sources["save_outputs"] == "start"
        other.put(changed(other.now, output_retention_hours=8.0))
        other.reload()
        assert other.now.output_retention_hours == 8.0
        one.reload()
        assert (one.now.output_retention_hours, one.now.save_outputs) == (8.0, True)
