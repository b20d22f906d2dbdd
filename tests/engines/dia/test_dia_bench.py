"""The benchmark measures both sides and reports in one document."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from streaming_server.bench.dia import main


@pytest.mark.filterwarnings("ignore")
def test_it_reports_what_it_measured(capsys):
    assert main(["--device", "cpu", "--rounds", "1", "--steps", "4", "--streams", "1,2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["plan"]["size"] == "tiny"
    assert report["step"]["times_as_fast"] > 0
    assert report["same_kernels"]["times_as_fast"] > 0
    assert set(report["streams"]) == {"1", "2"}
    pair = report["streams"]["2"]
    assert 0 < pair["engine_host_us"] < 1e3 * pair["step_with_sound_ms"]["p99"]
    assert report["first_pcm"]["p50_ms"] > 0
    assert report["share_of_bandwidth_limit"] > 0
    assert report["staggered"]["share"] > 0


def test_it_measures_eight_bit_weights_without_transformers(capsys):
    arguments = ["--device", "cpu", "--rounds", "1", "--steps", "2", "--streams", "1", "--alone", "--json"]
    assert main([*arguments, "--quantize", "int8"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0 < report["int8_relative_logit_error"] < 0.1
    assert "transformers_ms" not in report["step"]
