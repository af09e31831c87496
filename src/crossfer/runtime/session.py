"""Runs a bundle on batches of bounded size."""

from __future__ import annotations

import numpy as np
import onnxruntime

from crossfer.runtime.inference import run_session

MAX_BATCH = 64


class BundleError(ValueError):
    """A model file that cannot be used; the message names it and what is missing or wrong."""


class ModelSession:
    """A model ready to run; one instance may be used by several threads at once.

    Args:
        session: of the model's graph.
        name: of the model, for messages.
        classes: K, expressions that it scores.
        grid: G, cells along a side of the evidence.
    """

    def __init__(self, session: onnxruntime.InferenceSession, name: str, classes: int, grid: int) -> None:
        self._session, self._name, self._classes, self._grid = session, name, classes, grid

    def run(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores a batch, ``MAX_BATCH`` faces at a time.

        Args:
            batch: float32, shape (B, C, S, S), as ``preprocess`` gives it; B may be 0.

        Returns:
            Logits (B, K) and evidence (B, K, G, G), float32, all of them finite.

        Raises:
            BundleError: if one of them is not, as with damaged weights, or if there are not as many; no face
                is to blame for that.
            MemoryError: if there was no memory for it.
            OSError: if anything else went wrong inside ONNX Runtime.
        """
        logits = np.empty((len(batch), self._classes), np.float32)
        evidence = np.empty((len(batch), self._classes, self._grid, self._grid), np.float32)
        for start in range(0, len(batch), MAX_BATCH):
            part = slice(start, start + MAX_BATCH)
            outputs = run_session(self._session, ("logits", "evidence"), {"image": batch[part]})
            for answers in outputs:
                if len(answers) != len(batch[part]):  # NumPy would give all faces the answer of one
                    raise BundleError(
                        f"model {self._name!r}: expected answers for {len(batch[part])} faces, found "
                        f"{len(answers)}; obtain the file again, or export the model again"
                    )
            logits[part], evidence[part] = outputs
        if not (np.isfinite(logits).all() and np.isfinite(evidence).all()):
            raise BundleError(
                f"model {self._name!r}: expected finite logits and evidence, found others; its weights or "
                "metadata are damaged: obtain the file again, or export the model again"
            )
        return logits, evidence
