"""Benchmarks: training step, inference and peak memory of networks and layers, and of other implementations.

    cases, case_grid         what is measured: plain data, and lists of sizes
    steps                    what one measurement runs
    timing, memory           how time and memory are taken
    allocators               settings of the C library under which they are taken
    instructions             those of the processor, or as without AVX-512
    worker, jobs             the processes that measure, and those that ask them
    measured, result_table   results, and how they are shown
    suites, suite_runner     fixed sets of measurements, kept as files
    machine_info             what bears on speed on this machine

The method is stated in benchmarks/README.md.
"""

from attentive_gconv.bench.case_grid import Sweep
from attentive_gconv.bench.cases import LAYERS, Case, NotOffered
from attentive_gconv.bench.jobs import BenchmarkError, Comparison, Measurement, Protocol, measure
from attentive_gconv.bench.measured import Figure
from attentive_gconv.bench.result_table import Table, table
from attentive_gconv.bench.timing import Quartiles, quartiles

__all__ = [
    "LAYERS",
    "BenchmarkError",
    "Case",
    "Comparison",
    "Figure",
    "Measurement",
    "NotOffered",
    "Protocol",
    "Quartiles",
    "Sweep",
    "Table",
    "measure",
    "quartiles",
    "table",
]
