"""Measuring: training step, inference and peak memory of networks and layers, and of other implementations.

    cases, sweep       what is measured: plain data, and lists of sizes
    steps              what one measurement runs
    timing, memory     how time and memory are taken
    allocators         settings of the C library under which they are taken
    worker, jobs       the processes that measure, and those that ask them
    figures, tables    results, and how they are shown
    growth             exponents and plots
    suite, page        the measurements of docs/performance.md, and the page
    info               what bears on speed on this machine

The method is stated in benchmarks/README.md.
"""

from attentive_gconv.benchmark.cases import LAYERS, Case, NotOffered
from attentive_gconv.benchmark.figures import Figure
from attentive_gconv.benchmark.jobs import BenchmarkError, Comparison, Measurement, Protocol, measure
from attentive_gconv.benchmark.sweep import Sweep
from attentive_gconv.benchmark.tables import Table, table
from attentive_gconv.benchmark.timing import Quartiles, quartiles

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
