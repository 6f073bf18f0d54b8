"""Experiments: grids of runs, tables of results beside the published ones, and statistical comparisons."""

from attentive_gconv.experiments.comparison import Disagreement, PairedDifference, disagreement, paired_difference
from attentive_gconv.experiments.published import PUBLISHED, Published
from attentive_gconv.experiments.run_table import Table
from attentive_gconv.experiments.sweep import Job, finish_all

__all__ = [
    "PUBLISHED",
    "Disagreement",
    "Job",
    "PairedDifference",
    "Published",
    "Table",
    "disagreement",
    "finish_all",
    "paired_difference",
]
