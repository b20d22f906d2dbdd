"""The devices that get a worker."""

from typing import Any

import pytest

from streaming_server.errors import EngineFailure
from streaming_server.pool.devices import choose_devices


def ids(**choice: Any) -> list[str]:
    defaults: dict[str, Any] = {
        "mode": "auto",
        "wanted": [],
        "gpus": [],
        "max_workers": None,
        "cpu_workers": 2,
    }
    return [device.id for device in choose_devices(**(defaults | choice))]


def test_without_a_gpu_workers_run_on_the_cpu() -> None:
    assert ids() == ["cpu_0", "cpu_1"]
    assert ids(cpu_workers=1) == ["cpu_0"]
    assert ids(max_workers=3) == ["cpu_0", "cpu_1", "cpu_2"]


def test_every_gpu_gets_a_worker() -> None:
    assert ids(gpus=[0, 1, 2]) == ["gpu_0", "gpu_1", "gpu_2"]
    assert ids(gpus=[0, 1, 2], mode="multi", max_workers=2) == ["gpu_0", "gpu_1"]


def test_single_mode_uses_one_gpu() -> None:
    assert ids(gpus=[0, 1], mode="single") == ["gpu_0"]
    assert ids(gpus=[0, 1], mode="single", wanted=[1]) == ["gpu_1"]


def test_cpu_mode_uses_no_gpu() -> None:
    assert ids(gpus=[0, 1], mode="cpu", max_workers=1) == ["cpu_0"]


def test_named_gpus_are_used_in_the_order_named() -> None:
    assert ids(gpus=[0, 1, 2, 3], wanted=[3, 1]) == ["gpu_3", "gpu_1"]


def test_a_gpu_named_twice_gets_one_worker() -> None:
    assert ids(gpus=[0, 1, 2], wanted=[2, 0, 2]) == ["gpu_2", "gpu_0"]


def test_each_worker_sees_only_its_gpu() -> None:
    devices = choose_devices(mode="auto", wanted=[], gpus=[2, 5], max_workers=None, cpu_workers=2)
    assert [device.environment["CUDA_VISIBLE_DEVICES"] for device in devices] == ["2", "5"]


def test_error_names_the_missing_gpu() -> None:
    with pytest.raises(EngineFailure, match="GPU 7"):
        ids(gpus=[0, 1], wanted=[0, 7])


@pytest.mark.parametrize("mode", ["single", "multi"])
def test_requesting_gpus_where_there_are_none_is_an_error(mode: str) -> None:
    for gpus in ([], None):
        with pytest.raises(EngineFailure):
            ids(mode=mode, gpus=gpus)
        with pytest.raises(EngineFailure):
            ids(mode="auto", gpus=gpus, wanted=[1])
    assert ids(mode="cpu", gpus=None, wanted=[1]) == ["cpu_0", "cpu_1"]
