"""From a model and labelled images to numbers that say how they were made."""

from crossfer.evaluate.evaluation import evaluate, measure
from crossfer.evaluate.predictions import Predictions, predict
from crossfer.evaluate.result import EvaluationResult

__all__ = ["EvaluationResult", "Predictions", "evaluate", "measure", "predict"]
