import json
import platform

import pytest

from attentive_gconv.bench import Case, Comparison, Measurement, Protocol, jobs, suites
from in_process import in_process

__all__ = ["in_process"]

TINIEST = ("--channels", 2, "--image-sizes", 7, "--batch-sizes", 2, "--device", "cpu")
TINY = (*TINIEST, "--repeats", 2)


def test_layers_are_measured_and_written(agconv, in_process, tmp_path):
    result = agconv(
        *("bench", "--layers", "none,full", "--baseline", "none", "--what", "train,memory", *TINY),
        *("--allocator", "default,tuned", "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert "x none (tuned)" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["none", "full"]
    document = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert document.keys() == {"schema", "environment", "protocol", "figures"}
    assert [(figure["what"], figure["allocator"], figure["label"]) for figure in document["figures"]] == [
        (what, allocator, label)
        for allocator in ("default", "tuned")
        for what in ("train", "memory")
        for label in ("none", "full")
    ]
    assert (tmp_path / "out" / "table.md").read_text().startswith("| layer |")


def test_options_reach_the_measurement(agconv, in_process):
    result = agconv(
        *("bench", "--layers", "full", "--lifting", "--what", "train", "--groups", "z2,p4m", "--kernel-size", 5),
        *("--padding", 2, "--method", "definition", "--dtype", "float64", "--threads", 1, "--warmup", 1, *TINY),
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    figures = json.loads(result.stdout)["figures"]
    assert [figure["case"]["group"] for figure in figures] == ["z2", "p4m"]
    expected = {
        "kind": "lifting",
        "kernel_size": 5,
        "padding": 2,
        "method": "definition",
        "dtype": "float64",
        "channels": 2,
        "side": 7,
        "batch": 2,
        "device": "cpu",
    }
    assert figures[0]["case"].items() >= expected.items()
    job, allocator = in_process[0]
    assert (job["threads"], job["repeats"], job["warmup"], allocator) == (1, 2, 1, "default")


@pytest.mark.parametrize(
    ("model", "options", "expected"),
    [
        ("p4cnn", ("--conv", "expanded"), {"conv": "expanded"}),
        ("alpha_p4cnn", ("--recompute", "yes"), {"recompute": True}),
    ],
)
def test_how_it_is_computed_reaches_the_case(agconv, in_process, model, options, expected):
    usual = ("--what", "inference", "--batch-sizes", 1, "--repeats", 1, "--warmup", 0, "--json")
    result = agconv("bench", "--models", model, *options, *usual)
    assert result.exit_code == 0, result.stderr
    (figure,) = json.loads(result.stdout)["figures"]
    assert figure["case"].items() >= expected.items()
    assert in_process[0][0]["cases"][0].items() >= expected.items()


def test_each_backend_with_and_without_recomputation(agconv, in_process):
    options = ("--backend", "torch", "--recompute", "both", "--what", "inference", "--warmup", 0)
    result = agconv("bench", "--layers", "full", *options, *TINY, "--json")
    assert result.exit_code == 0, result.stderr
    cases = [figure["case"] for figure in json.loads(result.stdout)["figures"]]
    assert [(case["backend"], case["recompute"]) for case in cases] == [("torch", False), ("torch", True)]


def test_memory_is_measured_so_many_times_with_each_instruction_set(agconv, monkeypatch):
    asked = []

    def run_worker(job, allocator, instructions):
        asked.append((job["task"], instructions))
        return {"bytes": len(asked), "method": "counted"}

    monkeypatch.setattr(jobs, "run_worker", run_worker)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    options = ("--memory-repeats", 3, "--instructions", "native,avx2", "--what", "memory")
    result = agconv("bench", "--layers", "none", *options, *TINIEST, "--json")
    assert result.exit_code == 0, result.stderr
    assert asked == [("memory", "native")] * 3 + [("memory", "avx2")] * 3
    figures = json.loads(result.stdout)["figures"]
    assert [(figure["instructions"], figure["samples"]) for figure in figures] == [
        ("native", [1, 2, 3]),
        ("avx2", [4, 5, 6]),
    ]


def test_networks_by_pattern(agconv, in_process):
    options = ("--what", "inference", "--batch-sizes", 1, "--repeats", 1)
    result = agconv("bench", "--models", "alpha_[fr]*_p4cnn", "--baseline", "p4cnn", *options)
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == ["p4cnn", "alpha_f_p4cnn", "alpha_rx_p4cnn"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--models", "alpha_p4cn"), "unknown model 'alpha_p4cn': did you mean 'alpha_p4cnn'"),
        (("--device", "cuda:77"), "--device cuda:77: not available here"),
        (("--what", "speed"), "unknown measurement 'speed'"),
        (("--layers", "none", "--models", "p4cnn"), "give one of them"),
        (("--lifting",), "--lifting is for --layers"),
        (("--padding", 1), "--kernel-size and --padding are for --layers"),
        (("--backend", "numba", "--models", "p4cnn"), "which none of p4cnn has"),
        (("--suite", "paper"), "--suite needs --out"),
        (("--suite", "papr", "--out", "x"), "unknown suite 'papr': did you mean 'paper'"),
        (("--entry", "layers-p5", "--out", "x"), "unknown entry 'layers-p5': did you mean 'layers-p4'"),
        (("--suite", "paper", "--out", "x", "--repeats", 3), "--repeats has no meaning with a suite"),
        (("--fresh",), "--fresh belongs to a suite"),
        (("--info", "--models", "p4cnn"), "--models has no meaning with --info"),
        (("--suite", "forms", "--entry", "layers-p4", "--out", "x"), "unknown entry of the suite forms 'layers-p4'"),
        (("--what", "train,inference", "--memory-repeats", 2), "--memory-repeats 2 is for --what memory"),
        (("--what", "memory", "--repeats", 3), "--repeats 3 is for times, and --what memory measures none"),
        (("--what", "memory", "--warmup", 1), "--warmup 1 is for times, and --what memory measures none"),
    ],
)
def test_bad_options_are_refused_before_anything_is_measured(agconv, in_process, options, message):
    result = agconv("bench", *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert in_process == []


def test_a_figure_that_fails_is_shown_and_ends_with_an_error(agconv, monkeypatch):
    def fail(job, allocator, instructions):
        raise jobs.BenchmarkError("killed by the system")

    monkeypatch.setattr(jobs, "run_worker", fail)
    result = agconv("bench", "--models", "p4cnn", "--what", "train")
    assert result.exit_code == 1
    assert "killed by the system" in result.stdout
    assert "1 of 1 figures could not be measured: p4cnn, batch 16, train: killed by the system" in result.stderr


def test_a_suite_fills_a_folder_and_shows_its_tables(agconv, in_process, monkeypatch, tmp_path):
    cases = tuple(Case(name, "group", batch=2, channels=2, side=7) for name in ("none", "full"))
    quick = Protocol(repeats=2, warmup=1, min_seconds=0.0)
    entry = suites.Entry("layers-p4", "Layers", (Comparison(cases, True),), (Measurement("train"),), quick)
    monkeypatch.setattr(suites, "entries", lambda *_: {"layers-p4": entry})
    arguments = ("bench", "--entry", "layers-p4", "--out", tmp_path / "figures")
    result = agconv(*arguments)
    assert result.exit_code == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.split("Layers\n")[1].splitlines()[1:]] == ["none", "full"]
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"layers-p4.json"}
    done = len(in_process)
    assert "kept" in agconv(*arguments).stderr
    assert len(in_process) == done
    agconv(*arguments, "--fresh")
    assert len(in_process) == 2 * done


def test_a_suite_is_measured_as_asked_for(agconv, in_process, monkeypatch, tmp_path):
    comparison = Comparison((Case("none", "group", batch=2, channels=2, side=7),))
    quick = Protocol(repeats=1, warmup=0, min_seconds=0.0)
    asked = []

    def entries(*how):
        asked.append(how)
        return {name: suites.Entry(name, name, (comparison,), (Measurement("train"),), quick) for name in "abc"}

    monkeypatch.setattr(suites, "entries", entries)
    monkeypatch.setattr(suites, "SUITES", {"first": ("a", "b"), "last": ("c",)})
    how = ("--device", "cpu", "--dtype", "float64", "--threads", 1, "--out", tmp_path)
    result = agconv("bench", "--suite", "first", *how)
    assert result.exit_code == 0, result.stderr
    assert asked == [("cpu", "float64", 1)]
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json"}


def test_info_measures_nothing(agconv, in_process):
    assert '"auto" takes' in agconv("bench", "--info").stdout
    facts = json.loads(agconv("bench", "--info", "--json").stdout)
    assert facts.keys() >= {"environment", "backends", "auto"}
    assert facts["backends"]
    assert in_process == []


def test_a_file_for_the_folder_of_results_is_refused_before_anything_is_measured(agconv, tmp_path):
    (tmp_path / "out").write_text("")
    result = agconv("bench", "--models", "p4cnn", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "is a file: give the name of a folder" in result.stderr
