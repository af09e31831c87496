"""crossfer: facial expression recognition that can be trusted."""

from crossfer.labels import LabelSet
from crossfer.types import Box, Face, Prediction

__version__ = "0.1.0"
__all__ = ["Box", "Face", "LabelSet", "Prediction"]
