"""Dia's benchmark: both sides, one report."""

from __future__ import annotations

import importlib.metadata
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

torch = pytest.importorskip("torch")

from helpers.simulated_cuda import Event, SimulatedCuda  # noqa: E402

from streaming_server.bench.dia import smoke  # noqa: E402
from streaming_server.bench.dia.__main__ import main, parser, plan_of  # noqa: E402
from streaming_server.bench.dia.arrivals import Traffic  # noqa: E402
from streaming_server.bench.dia.graph_times import graph_times, kind_of  # noqa: E402
from streaming_server.bench.dia.host_time import engine_without_device  # noqa: E402
from streaming_server.bench.dia.plan import FIRST_PCM_STEPS, FRAME_MS, STREAMS  # noqa: E402
from streaming_server.bench.dia.predictions import predicted_steps  # noqa: E402
from streaming_server.bench.dia.reference_process import transformers_alone  # noqa: E402
from streaming_server.bench.dia.speaking import HeardUtterance  # noqa: E402
from streaming_server.bench.dia.stages import DeviceLost, Stage, StageRunner  # noqa: E402
from streaming_server.bench.dia.survival import ReportFile, run_in_child  # noqa: E402
from streaming_server.bench.dia.watched import Watched  # noqa: E402
from streaming_server.bench.dia.weights import endless_weights  # noqa: E402
from streaming_server.engines.dia.serving import load  # noqa: E402
from streaming_server.engines.dia.serving.engine import DiaEngine  # noqa: E402
from streaming_server.engines.dia.serving.graphs import GraphRunner  # noqa: E402
from streaming_server.engines.dia.serving.load import create_engine  # noqa: E402
from streaming_server.engines.dia.serving.stream import CHUNK_SIZES  # noqa: E402
from streaming_server.errors import EngineFailure  # noqa: E402
from streaming_server.types import DEFAULT_VOICE, Audio, Generation, Utterance  # noqa: E402

ROOT = Path(__file__).parents[2]
PREDICTIONS = ROOT / "tests/results/dia-gpu.md"
BRIEF = ["--device", "cpu", "--rounds", "1", "--steps", "4"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_report_compares_both_sides(capsys):
    pytest.importorskip("transformers")
    assert main([*BRIEF, "--streams", "1,2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["plan"]["size"] == "tiny"
    assert report["step"]["times_as_fast"] > 0
    assert report["same_kernels"]["times_as_fast"] > 0
    assert set(report["streams"]) == {"1", "2"}
    pair = report["streams"]["2"]
    assert 0 < pair["host_beside_computing_us"]["p50"] < 1e3 * pair["step_with_sound_ms"]["p50"]
    assert pair["times_real_time_together"] == pytest.approx(2 * pair["times_real_time_each"])
    assert not pair["cut"]
    assert 0 < report["share_of_bandwidth_limit"] < 1
    assert report["staggered"]["share"] > 0
    assert report["seconds"] > 0


@pytest.mark.slow
def test_first_pcm_is_reported_in_steps_with_the_prefill_apart(capsys):
    assert main([*BRIEF, "--streams", "2", "--alone", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    alone = report["first_pcm"]
    assert alone["steps"] == FIRST_PCM_STEPS
    assert alone["prefill_ms"] > 0
    assert alone["codec_ms"] > 0
    assert alone["in_steps"] == pytest.approx(alone["p50_ms"] / alone["step_ms"])
    apart = (alone["p50_ms"] - alone["prefill_ms"]) / alone["step_ms"]
    assert alone["without_prefill_in_steps"] == pytest.approx(apart)
    pair = report["streams"]["2"]
    assert pair["first_pcm"]["steps"] >= FIRST_PCM_STEPS
    assert pair["first_pcm"]["in_steps"] == pytest.approx(pair["first_pcm"]["p50_ms"] / pair["step_ms"])
    assert pair["first_pcm"]["all_prepared_ms"] > 0


@pytest.mark.slow
def test_int8_weights_are_measured_without_transformers(capsys):
    assert main([*BRIEF, "--streams", "1", "--alone", "--json", "--quantize", "int8"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0 < report["int8_relative_logit_error"] < 0.1
    assert "transformers_ms" not in report["step"]
    assert any(what.startswith("transformers") for what in report["not_measured"])


@pytest.mark.slow
def test_report_names_the_machine_and_what_was_not_measured(capsys):
    assert main([*BRIEF, "--streams", "1", "--alone", "--dtype", "bfloat16", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["plan"]["dtype"] == "bfloat16"
    machine = report["machine"]
    assert machine["device"] == "CPU"
    assert machine["cpu"]
    assert machine["cores"] >= machine["cores_usable"] >= 1
    assert machine["threads"] == torch.get_num_threads()
    assert machine["torch"] == torch.__version__
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", machine["date"])
    assert "a GPU" in report["not_measured"]


def test_progress_goes_to_standard_error(capsys):
    assert main([*BRIEF, "--streams", "1,2", "--alone"]) == 0
    told = capsys.readouterr()
    steps = re.findall(r"^\[(\d+)/(\d+)\] ", told.err, re.MULTILINE)
    assert steps == [(str(done), str(len(steps))) for done in range(1, len(steps) + 1)]
    assert "streams at once: 2" in told.err
    table = dict(line.split(maxsplit=1) for line in told.out.splitlines())
    assert float(table["first_pcm.prefill_ms"]) > 0
    assert "[" not in "".join(table)


def test_no_stage_begins_after_the_time_limit(capsys):
    assert main([*BRIEF, "--streams", "1", "--alone", "--minutes", "0", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert not {"step", "first_pcm", "streams", "staggered"} & report.keys()
    assert "first PCM: the time was up" in report["not_measured"]


def test_streams_that_do_not_fit_are_left_out(capsys):
    assert main([*BRIEF, "--streams", "1,1000000", "--alone", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["plan"]["streams"] == [1]
    assert any(re.match(r"1000000 streams: \d+ GB needed, \d+ GB free", w) for w in report["not_measured"])


def test_missing_device_is_a_one_line_error(capsys):
    assert main(["--device", "tpu"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "tpu is not a device that PyTorch supports.\n"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_216_streams_are_measured_on_a_cpu_within_a_minute(capsys):
    start = time.monotonic()
    assert main([*BRIEF, "--streams", "1,216", "--alone", "--json"]) == 0
    assert time.monotonic() - start < 60
    many = json.loads(capsys.readouterr().out)["streams"]["216"]
    assert many["first_pcm"]["p50_ms"] > 0


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore")
def test_every_stage_runs_on_a_cpu_and_writes_the_report(tmp_path, capsys):
    pytest.importorskip("transformers")
    assert main([*BRIEF, "--size", "tiny", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "dia.json").read_text())
    assert [stage["error"] for stage in report["stages"]] == [None] * len(report["stages"])
    assert report["smoke"]["ok"]
    assert report["smoke"]["steps"]["float32"]["like_plain"] == 1
    assert report["load"]["4"]["judged"] > 0
    assert report["load"]["4"]["host_beside_computing_us"]["p50"] > 0
    assert report["host_alone"]["216"]["p50_us"] > 0
    assert report["transformers"]["peak_memory_gb"] > 0
    assert len(report["first_pcm_varied"]["each_ms"]) == 20
    assert report["first_pcm_cloned"]["p50_ms"] > 0
    assert report["kernels"]["1"]["products_us"] > 0
    assert report["kernels"]["1"]["attention_us"] > 0
    assert report["graphs"]["step_ms"]["1"] > 0
    assert report["memory"]["closed"]["used"] > 0
    assert report["switches"]["kernels"]["off"]["step_ms"]["4"] > 0
    assert report["switches"]["fused_codec"]["off"]["codec_ms"]["1x10"] > 0
    assert len(report["switches"]["cudnn_attention"]["off"]["attention_ms"]) == 4
    assert 0 < report["precisions"]["int8"]["relative_logit_error"] < 0.1
    assert 0 < report["precisions"]["float8"]["relative_logit_error"] < 0.2
    assert report["times_as_fast"] > 0
    assert list(tmp_path.iterdir()) == [tmp_path / "dia.json"]


def test_page_of_predictions_holds_what_the_benchmark_predicts():
    """Its table is that of the report, rounded, to be compared with what is measured."""
    plan = plan_of(parser().parse_args(["--size", "full", "--device", "cpu"]))
    table = re.findall(r"^\| (\d+) \| (\d+) \| (.+\(.+) \|$", PREDICTIONS.read_text(), re.MULTILINE)
    predicted = predicted_steps(plan, STREAMS["cuda"])
    assert [int(count) for count, *_ in table] == [int(count) for count in predicted]
    for count, kernels, rest in table:
        each = predicted[count]
        cards = [f"{each['ms'][card]:.2f} ({each['limit_ms'][card]:.2f})" for card in ("H100", "H200")]
        faster = f"{FRAME_MS / each['ms']['H200']:.1f}"
        row = [f"{each['weights_gb']:.2f}", f"{each['cache_gb']:.2f}", *cards, faster]
        assert (int(kernels), rest.split(" | ")) == (each["kernels"], row)


def stage_runner(written, found=None, device_works=lambda: True):
    found = found or {"stages": [], "tracebacks": {}, "not_measured": []}
    write = lambda report: written.append(json.dumps(report))  # noqa: E731
    return StageRunner(found, None, lambda what: None, write, device_works=device_works)


def test_failing_stage_keeps_other_results():
    written = []
    runner = stage_runner(written)
    runner.run(Stage("one", lambda: 1, ("a", "one")))
    runner.run(Stage("two", lambda: 1 / 0, ("a", "two")))
    runner.run(Stage("three", lambda: 3, ("a", "three")))
    assert runner.found["a"] == {"one": 1, "three": 3}
    assert [stage["error"] for stage in runner.found["stages"]] == [
        None,
        "ZeroDivisionError: division by zero",
        None,
    ]
    assert "1 / 0" in runner.found["tracebacks"]["two"]
    assert [len(json.loads(report)["stages"]) for report in written] == [0, 1, 1, 2, 2, 3]
    assert [json.loads(report).get("running", {}).get("what") for report in written] == [
        "one",
        None,
        "two",
        None,
        "three",
        None,
    ]


def test_stage_that_costs_the_device_ends_the_process():
    written = []
    runner = stage_runner(written, device_works=lambda: False)
    runner.run(Stage("one", lambda: 1, ("one",)))
    with pytest.raises(DeviceLost):
        runner.run(Stage("two", lambda: 1 / 0, ("two",)))
    assert json.loads(written[-1])["stages"][1]["error"] == "ZeroDivisionError: division by zero"


def test_stages_of_an_earlier_process_are_not_run_again():
    runner = stage_runner([])
    runner.run(Stage("one", lambda: 1, ("one",)))
    resumed = stage_runner([], runner.found)
    resumed.run(Stage("one", lambda: 1 / 0, ("one",)))
    resumed.run(Stage("two", lambda: 2, ("two",)))
    assert (resumed.found["one"], resumed.found["two"]) == (1, 2)
    assert [stage["error"] for stage in resumed.found["stages"]] == [None, None]


DYING = """
import os, sys, time
from pathlib import Path
from streaming_server.bench.dia.stages import DeviceLost, Stage, StageRunner
from streaming_server.bench.dia.survival import DEVICE_LOST, ReportFile

file = ReportFile(Path(sys.argv[1]))
found = file.read() or {"stages": [], "tracebacks": {}, "not_measured": []}
runner = StageRunner(found, None, print, file.write, device_works=lambda: False)
try:
    runner.run(Stage("one", lambda: 1, ("one",)))
    runner.run(Stage("crash", lambda: os.abort(), ("crash",)))
    runner.run(Stage("error", lambda: 1 / 0, ("error",)))
    runner.run(Stage("hang", lambda: time.sleep(600), ("hang",)))
    runner.run(Stage("last", lambda: 5, ("last",), decisive=True))
except DeviceLost:
    sys.exit(DEVICE_LOST)
"""


@pytest.mark.slow
def test_a_process_that_dies_costs_one_stage_only(tmp_path):
    script = tmp_path / "dying.py"
    script.write_text(DYING)
    report = run_in_child(
        [sys.executable, str(script), str(tmp_path / "out")], ReportFile(tmp_path / "out"), 3.0
    )
    assert {stage["what"]: stage["error"] for stage in report["stages"]} == {
        "one": None,
        "crash": "the process died, status -6",
        "error": "ZeroDivisionError: division by zero",
        "hang": "the stage took longer than 3 s",
        "last": None,
    }
    assert (report["one"], report["last"]) == (1, 5)
    assert "running" not in report


def test_a_process_that_dies_before_any_stage_is_given_up(tmp_path):
    file = ReportFile(tmp_path)
    file.write({"stages": [], "not_measured": []})
    report = run_in_child([sys.executable, "-c", "raise SystemExit(9)"], file, None)
    assert report["ended"] == "the process died before it began another stage: the process died, status 9"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_no_process_is_left_when_the_benchmark_is_killed(tmp_path):
    """Or it would keep the GPU."""
    command = [sys.executable, "-m", "streaming_server.bench.dia", "--device", "cpu", "--out", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as benchmark:
        deadline = time.monotonic() + 60
        while not (ReportFile(tmp_path).read() or {}).get("running"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (child,) = psutil.Process(benchmark.pid).children()
        benchmark.kill()
    child.wait(timeout=30)


@pytest.mark.parametrize("result", [lambda: {"ok": False}, lambda: 1 / 0])
def test_wrong_decisive_stage_ends_the_run(result):
    runner = stage_runner([])
    runner.run(Stage("smoke", result, ("smoke",), decisive=True))
    runner.run(Stage("more", lambda: 1, ("more",)))
    assert "more" not in runner.found
    assert runner.found["not_measured"] == ["more: smoke went wrong"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_failure_of_the_process_of_transformers_is_told():
    plan = replace(plan_of(parser().parse_args(["--device", "cpu"])), device=torch.device("cuda"))
    with pytest.raises(EngineFailure, match=r"transformers ended with status 1: .*CUDA"):
        transformers_alone(plan)


def test_arrivals_keep_the_wanted_number_of_listeners():
    traffic = Traffic(200, 430, 1290)
    dice = random.Random(1)
    frames = [traffic.frames(dice) for _ in range(20_000)]
    assert statistics.fmean(frames) * FRAME_MS / 1e3 == pytest.approx(traffic.mean_s, rel=0.02)
    assert traffic.per_s * traffic.mean_s == pytest.approx(200)
    assert sum(count >= 2000 for count in frames) / len(frames) == pytest.approx(0.05, abs=0.01)


def test_streams_that_are_there_at_the_beginning_are_met_anywhere():
    """The mean of what is left of them is E[L²] / 2 E[L], as renewal theory has it."""
    traffic = Traffic(200, 430, 1290)
    dice = random.Random(1)
    lengths = [traffic.frames(dice) for _ in range(40_000)]
    expected = statistics.fmean(length**2 for length in lengths) / statistics.fmean(lengths) / 2
    left = [traffic.frames_left(dice) for _ in range(40_000)]
    assert statistics.fmean(left) == pytest.approx(expected, rel=0.02)
    assert max(left) > 1290


def test_listener_counts_silence_between_chunks():
    second = Audio(1, bytes(2 * 44100))
    steady, late = HeardUtterance(0.0, came_step=5), HeardUtterance(0.0, came_step=5)
    for now in (1.0, 1.5, 3.0):
        steady.hear(second, now, steps=30)
    for now in (1.0, 2.5):
        late.hear(second, now, steps=30)
    assert (steady.playout.first_at, steady.first_steps, steady.heard_s) == (1.0, 25, 3.0)
    assert (steady.playout.total, late.playout.total) == (0.0, 0.5)


def test_every_graph_is_timed_and_kernels_are_told_apart():
    pytest.importorskip("triton")
    plan = plan_of(parser().parse_args(["--size", "tiny", "--device", "cpu"]))
    engine = engine_without_device(4)
    times = graph_times(plan, SimpleNamespace(runner=engine.runner))
    engine.close()
    assert list(times["step_ms"]) == ["1", "2", "4"]
    assert set(times["codec_ms"]) == {f"{size}x{frames}" for size in (1, 2, 4) for frames in CHUNK_SIZES}
    assert times["prefill_ms"]["128 rows"] > 0
    names = {
        "_attention_kernel": "attention",
        "_matvec_kernel": "products",
        "fmha_cutlassF_bf16_aligned_64x128_rf_sm80": "attention",
        "nvjet_tst_128x8_64x12_2x1_v_bz_TNT": "products",
        "_product_kernel": "products",
        "_add_norm_kernel": "rest",
        "_sample_kernel": "rest",
    }
    assert {name: kind_of(name) for name in names} == names


LAUNCH_S, WAIT_S = 0.002, 0.01


class SlowEvent(Event):
    def synchronize(self):
        super().synchronize()
        time.sleep(WAIT_S)


class SlowCuda(SimulatedCuda):
    """A replay costs the host something, and waiting for the device costs more."""

    def __init__(self):
        super().__init__()
        self.replays = 0

    def record_event(self, stream, timing=False):
        super().record_event(stream, timing)
        return SlowEvent(self)

    def capture(self, body, inputs, stream, pool):
        captured = super().capture(body, inputs, stream, pool)
        compute = captured.replay

        def replay():
            self.replays += 1
            compute()
            time.sleep(LAUNCH_S)

        captured.replay = replay
        return captured


def test_host_time_on_a_gpu_excludes_waits():
    direct = create_engine("random:tiny", device="cpu", slots=1).runner
    gpu = SlowCuda()
    with torch.inference_mode():
        watched = Watched(GraphRunner(direct.slots, direct.codec, CHUNK_SIZES, gpu), computes=False)
    engine = DiaEngine(watched)
    gpu.waits = gpu.replays = 0
    text = "Hello there, all of you."
    engine.submit(Utterance(1, 1, text, DEFAULT_VOICE, Generation(max_tokens=60, seed=1), time.monotonic()))
    start = time.perf_counter()
    while engine.active:
        engine.step()
    own_s = time.perf_counter() - start - watched.elsewhere_s
    assert gpu.waits > 30
    assert watched.elsewhere_s > gpu.waits * WAIT_S
    assert own_s > gpu.replays * LAUNCH_S
    engine.close()


def test_host_time_on_a_cpu_excludes_computing(monkeypatch):
    runner = create_engine("random:tiny", device="cpu", slots=1).runner
    step, steps = runner.step, []

    def slow(*given):
        step(*given)
        steps.append(given)
        time.sleep(LAUNCH_S)

    monkeypatch.setattr(runner, "step", slow)
    watched = Watched(runner, computes=True)
    engine = DiaEngine(watched)
    text = "Hello there, all of you."
    engine.submit(Utterance(1, 1, text, DEFAULT_VOICE, Generation(max_tokens=60, seed=1), time.monotonic()))
    start = time.perf_counter()
    while engine.active:
        engine.step()
    took_s = time.perf_counter() - start
    assert took_s > watched.elsewhere_s > len(steps) * LAUNCH_S > 0
    assert watched.metered == 1
    engine.close()


def requirements(name):
    """A distribution's name and those of all that comes with it."""
    found, seen = [name], set()
    while found:
        name = re.sub(r"[-_.]+", "-", found.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found += [re.split(r"[^\w.-]", each)[0] for each in required if "extra ==" not in each]
    return seen


@pytest.fixture
def bare(tmp_path):
    """A folder to import from in which there are PyTorch, NumPy and what comes with them."""
    for name in set().union(*map(requirements, ("torch", "numpy"))):
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        files = distribution.files or []
        for top in {file.parts[0] for file in files} - {".."}:
            if not (tmp_path / top).exists():
                (tmp_path / top).symlink_to(distribution.locate_file(top))
    return tmp_path


@pytest.mark.slow
def test_it_runs_with_pytorch_and_numpy_alone(bare):
    # -S leaves out the packages that are installed.
    command = [sys.executable, "-S", "-m", "streaming_server.bench.dia", *BRIEF, "--streams", "1", "--json"]
    environment = os.environ | {"PYTHONPATH": f"{bare}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=bare, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["machine"]["transformers"] is None
    assert report["machine"]["safetensors"] is None
    assert report["step"]["ours_ms"] > 0
    assert report["step"]["ours_times_real_time"] == pytest.approx(FRAME_MS / report["step"]["ours_ms"])


def smoke_of(monkeypatch, spoil):
    """Check the engine after its head was spoiled; the plain steps that it is compared with are whole."""
    options = ["--size", "tiny", "--device", "cpu", "--alone"]
    plan = plan_of(parser().parse_args(options))

    def assemble(config, tensors, *given):
        tensors["logits_dense.weight"] = spoil(tensors["logits_dense.weight"])
        return load.assemble(config, tensors, *given)

    monkeypatch.setattr(smoke, "assemble", assemble)
    return smoke.smoke(plan, endless_weights(plan))


def test_smoke_forgives_what_rounding_may_change(monkeypatch):
    """A code in twenty, which would soon change all that follows, if the steps went their own ways."""
    noise = torch.Generator().manual_seed(1)

    def rounded(head):
        return head * (1 + 2e-3 * torch.randn(head.shape, generator=noise))

    found = smoke_of(monkeypatch, rounded)
    assert 0.97 < found["steps"]["float32"]["like_plain"] < 1
    assert found["ok"]


def test_smoke_finds_wrong_steps(monkeypatch):
    found = smoke_of(monkeypatch, lambda head: head.roll(1, 0))
    assert found["steps"]["float32"]["like_plain"] < 0.1
    assert not found["ok"]
