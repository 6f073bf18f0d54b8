"""Training, evaluation and prediction. Needs ``pip install 'attentive-gconv[train]'``.

    recipe, config     YAML recipes and the checked settings they become
    runner             `train` and `resume`: from settings to a complete run folder
    run_folder         what lies where in it
    trained, weights   opening trained networks
    evaluation         figures on a dataset
    images, prediction picture files

`train` and `resume` import Lightning, which takes seconds; they do so when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

from attentive_gconv.data.image_file import ImageError
from attentive_gconv.training.config import ConfigError, TrainConfig
from attentive_gconv.training.evaluation import Evaluation, evaluate
from attentive_gconv.training.images import read_image
from attentive_gconv.training.prediction import Prediction, predict_files
from attentive_gconv.training.recipe import list_recipes, load_recipe
from attentive_gconv.training.run_folder import RunFolder, RunFolderError
from attentive_gconv.training.trained import OpenedModel, open_model
from attentive_gconv.training.weights import ModelCard, TrainedModel, WeightsError, load_weights, save_weights

if TYPE_CHECKING:
    from attentive_gconv.training.runner import TrainResult, resume, train

__all__ = [
    "ConfigError",
    "Evaluation",
    "ImageError",
    "ModelCard",
    "OpenedModel",
    "Prediction",
    "RunFolder",
    "RunFolderError",
    "TrainConfig",
    "TrainResult",
    "TrainedModel",
    "WeightsError",
    "evaluate",
    "list_recipes",
    "load_recipe",
    "load_weights",
    "open_model",
    "predict_files",
    "read_image",
    "resume",
    "save_weights",
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
