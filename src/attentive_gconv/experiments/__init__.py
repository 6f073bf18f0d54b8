"""Experiments: grids of runs, tables of their results, and the published figures beside them."""

from attentive_gconv.experiments.published import PUBLISHED, Published
from attentive_gconv.experiments.run_table import Table
from attentive_gconv.experiments.sweep import Job, finish_all

__all__ = ["PUBLISHED", "Job", "Published", "Table", "finish_all"]
