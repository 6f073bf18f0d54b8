"""Benchmarks: training step, inference and peak memory of networks and layers, and of other implementations.

    cases, case_grid         networks and layers to measure, and grids of their sizes
    steps                    the measured functions
    timing, memory           measuring time and memory
    allocators               settings of the memory allocator
    instructions             instruction sets of the processor
    worker, jobs             worker processes, and the jobs they are given
    measured, result_table   results, and tables of them
    suites, suite_runner     fixed sets of measurements, stored as files
    machine_info             facts about this machine that determine speed

benchmarks/README.md describes the method.
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
