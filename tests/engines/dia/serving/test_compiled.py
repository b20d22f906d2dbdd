"""Compiling is tried with the real step, and given up with a reason that is remembered."""

from __future__ import annotations

import json
import logging

import pytest

torch = pytest.importorskip("torch")

from streaming_server.engines.dia.model.sampling import sample_codes  # noqa: E402
from streaming_server.engines.dia.serving import compiled  # noqa: E402
from streaming_server.engines.dia.serving.compiled import compiled_choose  # noqa: E402
from streaming_server.engines.dia.serving.slots import Slots  # noqa: E402


@pytest.fixture
def slots(tiny_model):
    return Slots(tiny_model(torch.float32), 1, frames=128, text=64)


@torch.inference_mode()
def test_a_compiler_that_works_is_used(slots, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *given: function(*given))
    assert compiled_choose(slots, tmp_path / "failures.json") is not sample_codes
    assert not (tmp_path / "failures.json").exists()


@torch.inference_mode()
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (RuntimeError("no compiler found\nat all"), "RuntimeError: no compiler found"),
        (None, "compiled steps speak other codes"),
    ],
)
def test_one_that_does_not_is_left_alone_and_remembered(slots, tmp_path, monkeypatch, caplog, fault, reason):
    def broken(*given):
        if fault is not None:
            raise fault
        return (sample_codes(*given) + 1) % 1024

    tries = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: tries.append(function) or broken)
    failures = tmp_path / "cache" / "failures.json"
    for _ in range(2):
        with caplog.at_level(logging.WARNING):
            assert compiled_choose(slots, failures) is sample_codes
        assert reason in caplog.text
        caplog.clear()
    assert len(tries) == 1
    assert slots.sampler is sample_codes
    assert list(json.loads(failures.read_text()).values()) == [reason]


def test_failures_are_remembered_in_the_user_s_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiled.failures_file() == tmp_path / "streaming-server" / "torch-compile.json"
