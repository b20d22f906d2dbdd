"""The server as an application of Ray Serve: one GPU per replica, scaled by contexts.

Start Ray on every node with the variables that `python -m streaming_server.deploy.ray` prints for a shell and
with `DIA_*` variables for the servers. Deploy with `serve deploy ray.yaml`; that file lies beside this one.
It updates a running application, replica by replica, where `serve.run` replaces all replicas at once.

* Ray binds its proxies to the addresses in `http_options`: with 127.0.0.1 it silently loses the replicas of
  other nodes. Ports 9101 and 8404 are those of its HAProxy for metrics and statistics.
* Voices and jobs are shared only by a store that all replicas reach. Without one, each replica has its own,
  in a folder of its own, which ends with it.
"""

from __future__ import annotations

import asyncio
import math
import os
import shlex
import shutil
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
from anyio import to_thread
from pydantic import BaseModel, Field
from ray import serve

from streaming_server.errors import EngineFailure
from streaming_server.settings import Settings
from streaming_server.web.app import create_app
from streaming_server.web.services import Services, services_of

ENVIRONMENT: Mapping[str, str] = MappingProxyType(
    {
        # Ray's own proxy takes 46 ms to first audio at 200 sessions, HAProxy 2.6.
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        # In another thread a client that does not read is never noticed and costs 89 MiB.
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        # After this Ray closes every websocket of a replica that stops: no less than the longest stream.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "300",
        # HAProxy is reloaded when replicas change, and cuts what the old process still carries after this.
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "86400",
        # A replica refuses with 503 before it does anything, so another may be asked. A killed one accepts
        # connections until it is gone. A job that it took just before it died may be accepted twice.
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response 503",
        # Websockets per proxy. HAProxy does not start unless it may open 2.5 times as many files (ulimit -n).
        "RAY_SERVE_HAPROXY_MAXCONN": "40000",
    }
)
"""Variables of every process of Ray. All but the first may have other values."""

DRAINING_PERIOD = "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"
UNLIMITED = 1_000_000
"""Requests per replica. Over Ray's limits a websocket hangs or gets a 500; our own answer with 503."""
POLL_S = 0.5
"""Seconds between checks that the worker speaks, and that Ray has not begun to stop the replica."""
ANSWER_S = 5.0
"""Seconds that a replica may take to answer whether Ray stops it."""


class ApplicationOptions(BaseModel, extra="forbid"):
    """The arguments of the application."""

    gpus: float = Field(1, ge=0, description="GPUs per replica")
    min_replicas: int = Field(1, ge=1)
    max_replicas: int = Field(8, ge=1)
    target_load: float = Field(0.7, gt=0, le=1, description="contexts ÷ slots at which replicas are added")
    upscale_delay_s: float = Field(5, ge=0)
    downscale_delay_s: float = Field(600, ge=0)


def application(arguments: Mapping[str, Any]) -> serve.Application:
    """Build the application. Raise EngineFailure if Ray was started without HAProxy.

    arguments: the fields of ApplicationOptions.
    """
    options = ApplicationOptions.model_validate(arguments)
    if os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") != "1":
        raise EngineFailure("Start Ray with RAY_SERVE_ENABLE_HA_PROXY=1 on every node.")
    variables = {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}
    deployment = serve.deployment(
        name="speech",
        max_ongoing_requests=UNLIMITED,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=float(variables[DRAINING_PERIOD]) + 30,
        ray_actor_options={"num_gpus": options.gpus, "runtime_env": {"env_vars": variables}},
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": options.max_replicas,
            "upscale_delay_s": options.upscale_delay_s,
            "downscale_delay_s": options.downscale_delay_s,
            "metrics_interval_s": 1,
            "look_back_period_s": 5,
            "policy": {
                "policy_function": "streaming_server.deploy.ray:ByContexts",
                "policy_kwargs": {"target_load": options.target_load},
            },
        },
    )
    replica = deployment(serve.ingress()(Replica))
    built: serve.Application = replica.bind()
    return built


class ByContexts:
    """Autoscaling policy: as many replicas as give each `target_load` contexts per slot.

    Ray's own counts requests, of which an idle websocket is one.
    """

    def __init__(self, target_load: float) -> None:
        self._target_load = target_load

    def __call__(self, now: Any) -> tuple[int, dict[str, Any]]:
        metrics = now.aggregated_metrics or {}
        slots = max(metrics.get("slots", {}).values(), default=0.0)
        if not slots:
            return now.target_num_replicas, {}
        wanted = math.ceil(sum(metrics["contexts"].values()) / (slots * self._target_load))
        least, most = now.capacity_adjusted_min_replicas, now.capacity_adjusted_max_replicas
        return min(max(wanted, least), most), {}


class Replica:
    """One server. Ray calls the public methods."""

    def __serve_build_asgi_app__(self) -> Hosted:
        settings = replica_settings(serve.get_replica_context().replica_tag)
        own_folder = settings.data_dir if settings.database is None else None
        self._hosted = Hosted(settings, own_folder)
        return self._hosted

    def check_health(self) -> None:
        """Raise RuntimeError if no worker has spoken recently."""
        services = self._hosted.services
        if services is None or not services.speech.pool.healthy:
            raise RuntimeError("No worker speaks.")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return what ByContexts scales by."""
        if (services := self._hosted.services) is None:
            return {"contexts": 0, "slots": 0}
        return {"contexts": len(services.speech.contexts), "slots": services.speech.pool.slots}


def replica_settings(name: str) -> Settings:
    """Return the settings of a replica. Only the embedded database needs a data directory of its own."""
    settings = Settings(node=name)
    if settings.database is not None:
        return settings
    return settings.model_copy(update={"data_dir": settings.data_dir / name})


class Hosted:
    """The ASGI application in a replica: it has started when a worker speaks, and drains when Ray stops it.

    A model that cannot be loaded fails the start, and so the deployment. Ray announces a stop only at
    /-/healthz of the replica's port, which its HAProxy polls.

    own_folder: removed when the lifespan ends; no later replica has the same name.
    """

    def __init__(self, settings: Settings, own_folder: Path | None = None) -> None:
        self._own_folder = own_folder
        self._app = create_app(settings)
        self._port: int | None = None

    @property
    def services(self) -> Services | None:
        return services_of(self._app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            if scope.get("server") is not None:
                self._port = scope["server"][1]
            await self._app(scope, receive, send)
            return

        async def send_when_it_speaks(message: Any) -> None:
            while message["type"] == "lifespan.startup.complete" and not self._speaks():  # noqa: ASYNC110
                await anyio.sleep(POLL_S)
            await send(message)

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._drain_when_stopped)
                await self._app(scope, receive, send_when_it_speaks)
                group.cancel_scope.cancel()
        finally:
            await self._remove_folder()

    async def _remove_folder(self) -> None:
        if self._own_folder is not None:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(partial(shutil.rmtree, self._own_folder, ignore_errors=True))

    def _speaks(self) -> bool:
        return self.services is not None and self.services.speech.pool.healthy

    async def _drain_when_stopped(self) -> None:
        """Drain once Ray stops the replica. Without a request ever there is no websocket to close."""
        while self._port is None or not await _is_stopping(self._port):  # noqa: ASYNC110
            await anyio.sleep(POLL_S)
        if self.services is not None:
            await self.services.drain.run(float(os.environ[DRAINING_PERIOD]))


async def _is_stopping(port: int) -> bool:
    """Return whether Ray stops the replica that listens on this port."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(b"GET /-/healthz HTTP/1.0\r\n\r\n")
                return b"DRAINING" in await reader.read()
    except OSError:  # A timeout is one too.
        return False


if __name__ == "__main__":
    for name, value in ENVIRONMENT.items():
        print(f"export {name}={shlex.quote(value)}")  # noqa: T201
