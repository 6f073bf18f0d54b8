"""Training: from a recipe to a finished run folder. Needs the extra ``train``.

    recipe, config     YAML recipes and checked settings
    runner             `train` and `resume`
    run_folder         the folder of a run

`train` and `resume` are imported at first use, because Lightning takes seconds to import.
"""

from typing import TYPE_CHECKING, Any

from attentive_gconv.checkpoints.run_files import RunFolderError
from attentive_gconv.settings import ConfigError
from attentive_gconv.training.config import TrainConfig
from attentive_gconv.training.recipe import list_recipes, load_recipe
from attentive_gconv.training.run_folder import RunFolder

if TYPE_CHECKING:
    from attentive_gconv.training.run_result import TrainResult
    from attentive_gconv.training.runner import resume, train

__all__ = [
    "ConfigError",
    "RunFolder",
    "RunFolderError",
    "TrainConfig",
    "TrainResult",
    "list_recipes",
    "load_recipe",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in ("TrainResult", "resume", "train"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from attentive_gconv.training import runner
    except ImportError as error:
        raise ImportError(f"training needs more ({error}): pip install 'attentive-gconv[train]'") from error
    return getattr(runner, name)
