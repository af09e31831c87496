"""What stops a run, in words."""

from __future__ import annotations

KEPT = "the last whole epoch is kept: lower optim.lr and start again"


class TrainingError(ValueError):
    """Training that cannot start or go on; the message says why and what to do."""
