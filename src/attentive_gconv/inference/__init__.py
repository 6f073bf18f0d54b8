"""Inference: image files to tensors, prediction, evaluation. Needs neither Lightning nor YAML.

images       image files as a network's input
prediction   classes and probabilities of image files
evaluation   error, recall and precision of each class, and confusion matrix on a dataset
"""

from attentive_gconv.data.image_file import ImageError
from attentive_gconv.inference.evaluation import Evaluation, evaluate
from attentive_gconv.inference.images import read_image
from attentive_gconv.inference.prediction import Prediction, predict_files

__all__ = ["Evaluation", "ImageError", "Prediction", "evaluate", "predict_files", "read_image"]
