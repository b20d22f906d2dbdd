"""Calls of CUDA, with PyTorch's own classes replaced where they need a GPU."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.serving.cuda import CapturedGraph, Cuda  # noqa: E402
from streaming_server.engines.dia.serving.device import use_device  # noqa: E402


class Stream:
    def synchronize(self): ...


class Graph:
    """Cannot end a capture that was left, as CUDA cannot."""

    left = False

    def capture_begin(self, pool, capture_error_mode):
        Graph.left = True

    def capture_end(self):
        if Graph.left:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    def replay(self): ...


@pytest.fixture
def cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "stream", nullcontext)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    return Cuda(torch.device("cpu"))


def test_error_within_a_capture_is_not_hidden_by_the_invalid_capture(cuda):
    runs = []

    def body():
        runs.append(1)
        if len(runs) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(1)

    with pytest.raises(torch.OutOfMemoryError):
        cuda.capture(body, torch.zeros(1), Stream(), None)


def test_body_is_run_once_before_it_is_captured(cuda):
    runs = []

    def body():
        runs.append(Graph.left)
        if runs == [False, True]:
            Graph.left = False
        return torch.zeros(1)

    Graph.left = False
    cuda.capture(body, torch.zeros(1), Stream(), None)
    assert runs == [False, True]


def test_uploads_are_contiguous_whatever_they_are_made_of(cuda):
    rows = np.arange(6).reshape(2, 3).T
    pinned = cuda.pinned(rows)
    assert pinned.is_contiguous()
    assert pinned.tolist() == rows.tolist()


def test_buffers_are_used_again_once_a_launch_is_over():
    allocated = []

    def allocate(like):
        allocated.append(torch.empty_like(like))
        return allocated[-1]

    inputs, output = torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    graph = CapturedGraph(inputs, output, lambda: output.copy_(inputs + 1), allocate)
    one, other = graph.launch(np.array([1, 2])), graph.launch(np.array([3, 4]))
    assert (one.output.tolist(), other.output.tolist()) == ([2, 3], [4, 5])
    one.release()
    third = graph.launch(np.array([5, 6]))
    assert (other.output.tolist(), third.output.tolist()) == ([4, 5], [6, 7])
    assert len(allocated) == 4, "two for uploads and two for downloads"


def test_kernels_are_launched_on_the_chosen_gpu(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    use_device(torch.device("cpu"))
    use_device(torch.device("cuda:1"))
    assert chosen == [torch.device("cuda:1")]
