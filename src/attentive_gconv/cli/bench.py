"""`agconv bench`."""

import json
from collections.abc import Callable
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attentive_gconv.cli.options import JSON_OPTION, is_given, refuse_others
from attentive_gconv.cli.output import plain_console, plain_table

if TYPE_CHECKING:
    from attentive_gconv.bench import Figure

_WHAT, _SIZES, _HOW, _RESULT = "Cases", "Sizes (several, separated by commas)", "Implementation and method", "Results"
TABLE_FILE, DATA_FILE = "table.md", "bench.json"
EVERYTHING = ("train", "inference", "memory")
_OF_INFO = ("info", "as_json")
_OF_A_SUITE = ("suite", "entry", "out", "fresh", "device", "dtype", "threads")


class Recompute(StrEnum):
    """Activation checkpointing of full attention."""

    NO = "no"
    YES = "yes"
    BOTH = "both"


def _listed(help_text: str, panel: str) -> Any:
    return typer.Option(help=help_text, rich_help_panel=panel)


_MODELS_OPTION = Annotated[list[str] | None, _listed("Networks, names or patterns such as 'alpha_*p4cnn'.", _WHAT)]
_LAYERS_OPTION = Annotated[
    list[str] | None, _listed("Layers instead: conv2d, none, full, full_channel, input, ... or patterns.", _WHAT)
]
_LIFTING_OPTION = Annotated[
    bool, typer.Option("--lifting", help="Lifting layers, on planar maps.", rich_help_panel=_WHAT)
]
_WHAT_OPTION = Annotated[list[str] | None, _listed("Quantities: train, inference, memory; default: all.", _WHAT)]
_BASELINE_OPTION = Annotated[
    str | None, _listed("Network or layer to compare the others with, in the same rounds.", _WHAT)
]
_BATCH_SIZES_OPTION = Annotated[list[str] | None, _listed("Batch sizes; default 16.", _SIZES)]
_GROUPS_OPTION = Annotated[list[str] | None, _listed("Groups; default: the network's own; layers: p4.", _SIZES)]
_CHANNELS_OPTION = Annotated[list[str] | None, _listed("Channels; default: the network's own; layers: 10.", _SIZES)]
_IMAGE_SIZES_OPTION = Annotated[
    list[str] | None, _listed("Image sides in pixels; default: the network's; layers: 26.", _SIZES)
]
_KERNEL_SIZE_OPTION = Annotated[int, typer.Option(min=1, help="For layers.", rich_help_panel=_SIZES)]
_PADDING_OPTION = Annotated[int, typer.Option(min=0, help="For layers.", rich_help_panel=_SIZES)]
_METHOD_OPTION = Annotated[list[str] | None, _listed("Method of full attention: streaming, definition.", _HOW)]
_BACKEND_OPTION = Annotated[list[str] | None, _listed("Backend of the streaming method; --info lists them.", _HOW)]
_CONV_OPTION = Annotated[
    list[str] | None, _listed("Form of the group convolutions: auto, expanded, irreps; several.", _HOW)
]
_RECOMPUTE_OPTION = Annotated[
    Recompute | None,
    typer.Option(
        help="Activation checkpointing: each full-attention layer keeps only its input for backward.",
        rich_help_panel=_HOW,
    ),
]
_DEVICE_OPTION = Annotated[str, _listed("cpu, cuda, cuda:1, mps ..., or auto: a GPU if there is one.", _HOW)]
_DTYPE_OPTION = Annotated[str, _listed("float32, float64; bfloat16, float16: autocast.", _HOW)]
_THREADS_OPTION = Annotated[int | None, typer.Option(min=1, help="Number of PyTorch's threads.", rich_help_panel=_HOW)]
_ALLOCATOR_OPTION = Annotated[list[str] | None, _listed("CPU: default, tuned, jemalloc; several.", _HOW)]
_INSTRUCTIONS_OPTION = Annotated[list[str] | None, _listed("CPU: native, or avx2 (without AVX-512); several.", _HOW)]
_REPEATS_OPTION = Annotated[int, typer.Option(min=1, help="Number of timed rounds.", rich_help_panel=_HOW)]
_WARMUP_OPTION = Annotated[
    int, typer.Option(min=0, help="Warm-up calls before the timed rounds.", rich_help_panel=_HOW)
]
_MEMORY_REPEATS_OPTION = Annotated[
    int, typer.Option(min=1, help="Processes for each memory measurement.", rich_help_panel=_HOW)
]
_OUT_OPTION = Annotated[
    Path | None, _listed(f"Folder for {DATA_FILE} and {TABLE_FILE}, or for the files of a suite.", _RESULT)
]
_SUITE_OPTION = Annotated[
    str | None,
    _listed("A fixed set of measurements of docs/performance.md: paper, forms, allcnnc, cifar10-pcam.", _RESULT),
]
_ENTRY_OPTION = Annotated[list[str] | None, _listed("With a suite: measure only these entries.", _RESULT)]
_FRESH_OPTION = Annotated[
    bool, typer.Option("--fresh", help="With a suite: measure finished entries again.", rich_help_panel=_RESULT)
]
_INFO_OPTION = Annotated[bool, typer.Option("--info", help="Show machine, versions and backends, without measuring.")]


def bench_command(
    context: typer.Context,
    models: _MODELS_OPTION = None,
    layers: _LAYERS_OPTION = None,
    lifting: _LIFTING_OPTION = False,
    what: _WHAT_OPTION = None,
    baseline: _BASELINE_OPTION = None,
    batch_sizes: _BATCH_SIZES_OPTION = None,
    groups: _GROUPS_OPTION = None,
    channels: _CHANNELS_OPTION = None,
    image_sizes: _IMAGE_SIZES_OPTION = None,
    kernel_size: _KERNEL_SIZE_OPTION = 3,
    padding: _PADDING_OPTION = 0,
    method: _METHOD_OPTION = None,
    backend: _BACKEND_OPTION = None,
    recompute: _RECOMPUTE_OPTION = None,
    conv: _CONV_OPTION = None,
    device: _DEVICE_OPTION = "auto",
    dtype: _DTYPE_OPTION = "float32",
    threads: _THREADS_OPTION = None,
    allocator: _ALLOCATOR_OPTION = None,
    instructions: _INSTRUCTIONS_OPTION = None,
    repeats: _REPEATS_OPTION = 11,
    warmup: _WARMUP_OPTION = 2,
    memory_repeats: _MEMORY_REPEATS_OPTION = 1,
    out: _OUT_OPTION = None,
    suite: _SUITE_OPTION = None,
    entry: _ENTRY_OPTION = None,
    fresh: _FRESH_OPTION = False,
    as_json: JSON_OPTION = False,
    info: _INFO_OPTION = False,
) -> None:
    """Benchmark networks or layers: training step, inference and peak memory, in interleaved rounds.

    [bold]agconv bench --models p4cnn,alpha_p4cnn --baseline p4cnn --batch-sizes 16,64[/bold]

    [bold]agconv bench --layers none,full --baseline none --groups p4,p4m --channels 10,20 --what train[/bold]

    benchmarks/README.md describes the method.
    """
    from attentive_gconv.bench.case_grid import values

    if out is not None and out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file: give the name of a folder")
    if info:
        refuse_others(context, _OF_INFO, "with --info: leave it out")
        _info(as_json)
        return
    from attentive_gconv.bench.jobs import Measurement, Protocol
    from attentive_gconv.cli.devices import find_device

    place = str(find_device(device))
    if suite is not None or entry:
        refuse_others(context, _OF_A_SUITE, "with a suite, which fixes what is measured: leave it out")
        _suite(suite, entry or [], place, dtype, threads, out, fresh)
        return
    if fresh:
        raise ValueError("--fresh belongs to a suite: add --suite paper")
    chosen = values(what or [], "--what", str) or list(EVERYTHING)
    if "memory" not in chosen and is_given(context, "memory_repeats"):
        raise ValueError(f"--memory-repeats {memory_repeats} is for --what memory: leave it out")
    for option, count in (("repeats", repeats), ("warmup", warmup)):
        if chosen == ["memory"] and is_given(context, option):
            raise ValueError(f"--{option} {count} is for times, and --what memory measures none: leave it out")
    settings = values(allocator or [], "--allocator", str) or ["default"]
    sets = values(instructions or [], "--instructions", str) or ["native"]
    for option, given, usual in (("allocator", settings, "default"), ("instructions", sets, "native")):
        if place != "cpu" and given != [usual]:
            raise ValueError(f"--{option} {','.join(given)} applies to the CPU only, and --device is {place}")
    comparisons = _comparisons(
        models, layers, lifting, baseline,
        sizes={
            "batches": values(batch_sizes or ["16"], "--batch-sizes", int),
            "groups": values(groups or [], "--groups", str),
            "channels": values(channels or [], "--channels", int),
            "sides": values(image_sizes or [], "--image-sizes", int),
            "methods": values(method or [], "--method", str),
            "backends": values(backend or [], "--backend", str),
            "recompute": {None: [], "no": [False], "yes": [True], "both": [False, True]}[recompute],
            "convs": values(conv or [], "--conv", str),
        },
        fixed={"kernel_size": kernel_size, "padding": padding, "device": place, "dtype": dtype},
    )  # fmt: skip
    protocol = Protocol(repeats=repeats, warmup=warmup, memory_repeats=memory_repeats, threads=threads)
    measurements = [Measurement(name, *setting) for setting in product(settings, sets) for name in chosen]
    _measure(comparisons, measurements, protocol, as_json, out)


def _comparisons(
    models: list[str] | None,
    layers: list[str] | None,
    lifting: bool,
    baseline: str | None,
    sizes: dict[str, Any],
    fixed: dict[str, Any],
) -> list[Any]:
    from attentive_gconv.bench.case_grid import Sweep, values
    from attentive_gconv.bench.cases import Case

    if models and layers:
        raise ValueError("--models and --layers are measured one at a time: give one of them")
    if lifting and not layers:
        raise ValueError("--lifting is for --layers")
    if layers:
        names, kind = values(layers, "--layers", str), "lifting" if lifting else "group"
    else:
        names, kind = values(models or [], "--models", str), "network"
        if (fixed["kernel_size"], fixed["padding"]) != (3, 0):
            raise ValueError("--kernel-size and --padding are for --layers")
        if not names:
            names, baseline = ["p4cnn", "alpha_f_p4cnn", "alpha_p4cnn"], baseline or "p4cnn"
    return Sweep(names, kind, baseline, **sizes).comparisons(Case("p4cnn", **fixed))


def _measure(comparisons: Any, measurements: Any, protocol: Any, as_json: bool, out: Path | None) -> None:
    from dataclasses import asdict

    from attentive_gconv.bench.jobs import measure
    from attentive_gconv.bench.result_table import table
    from attentive_gconv.bench.suites import SCHEMA
    from attentive_gconv.environment import describe_environment
    from attentive_gconv.files import write_atomically, write_json

    about = describe_environment()
    figures = measure(comparisons, measurements, protocol, _reporter())
    document = {
        "schema": SCHEMA,
        "environment": about,
        "protocol": asdict(protocol),
        "figures": [figure.to_mapping() for figure in figures],
    }
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(figures)
    if out is not None:
        write_json(out / DATA_FILE, document)
        write_atomically(out / TABLE_FILE, table(figures).markdown().encode())
    _stop_if_failed(figures)


def _reporter() -> Callable[[str], None]:
    return plain_console(stderr=True).print


def _print(figures: "list[Figure]") -> None:
    from attentive_gconv.bench.result_table import table

    found = table(figures)
    grid = plain_table(*found.headings, numbers=range(1, len(found.headings)))
    for row in found.rows:
        grid.add_texts(*row)
    plain_console().print(grid)


def _stop_if_failed(figures: "list[Figure]") -> None:
    failed = [figure for figure in figures if figure.error]
    if failed:
        lines = [
            f"{figure.case.label()}, batch {figure.case.batch}, {figure.what}: {figure.error}" for figure in failed
        ]
        raise ValueError(f"{len(failed)} of {len(figures)} figures could not be measured: {'; '.join(lines)}")


def _suite(
    suite: str | None,
    names: list[str],
    device: str,
    dtype: str,
    threads: int | None,
    out: Path | None,
    fresh: bool,
) -> None:
    from attentive_gconv.bench import suites
    from attentive_gconv.bench.case_grid import values
    from attentive_gconv.bench.suite_runner import figures_of, run_entry
    from attentive_gconv.environment import describe_environment
    from attentive_gconv.lookup import find

    if out is None:
        raise ValueError("--suite needs --out, the folder of its files")
    known = suites.entries(device, dtype, threads)
    kind = "entry"
    if suite is not None:
        kind = f"entry of the suite {suite}"
        known = {name: known[name] for name in find("suite", suite, suites.SUITES)}
    chosen = [find(kind, name, known) for name in values(names, "--entry", str) or known]
    about = describe_environment()
    failed: list[Figure] = []
    for item in chosen:
        document = run_entry(item, out, about, fresh=fresh, report=_reporter())
        figures = figures_of(document)
        failed += [figure for figure in figures if figure.error]
        typer.echo(f"\n{item.title}")
        _print(figures)
    _stop_if_failed(failed)


def _info(as_json: bool) -> None:
    from attentive_gconv.bench.machine_info import describe, lines

    facts = describe()
    typer.echo(json.dumps(facts, indent=2) if as_json else "\n".join(lines(facts)))
