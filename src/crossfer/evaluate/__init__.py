"""From a model and labelled images to numbers that say how they were made."""

from crossfer.evaluate.evaluation import evaluate
from crossfer.evaluate.result import ClassResult, EvaluationResult

__all__ = ["ClassResult", "EvaluationResult", "evaluate"]
