from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.evaluate import faithfulness
from crossfer.evaluate.faithfulness import measure_evidence, rank_cells
from crossfer.labels import FERPLUS
from crossfer.types import Prediction


@dataclass
class CellReader:
    """Sees class 1 as far as the cells of a 6 x 6 grid are bright; its evidence may lie."""

    honest: bool = True
    seen: list[int] = field(default_factory=list)

    def classify(self, crops: list[np.ndarray]) -> list[Prediction]:
        self.seen.append(len(crops))
        return [self._answer(crop) for crop in crops]

    def _answer(self, crop: np.ndarray) -> Prediction:
        cells = crop[..., 0].reshape(6, 8, 6, 8).mean(axis=(1, 3)) / 255
        evidence = np.zeros((8, 6, 6), np.float32)
        evidence[1] = cells if self.honest else -cells
        probability = 0.3 + 0.6 * float(np.clip(cells - 0.5, 0, 1).mean())
        rest = (1 - probability) / 7
        shares = {name: probability if k == 1 else rest for k, name in enumerate(FERPLUS.expressions)}
        return Prediction(shares, evidence.sum(axis=(1, 2)), evidence)


def faces(n: int) -> Dataset:
    def read(sample: Sample) -> np.ndarray:
        if sample.path == "bad":
            raise DataError("bad: gone")
        cells = np.random.default_rng(int(sample.path)).random((6, 6)) ** 6 * 255
        return np.repeat(np.kron(cells, np.ones((8, 8)))[:, :, None], 3, axis=2).astype(np.uint8)

    return Dataset("toy", "none", FERPLUS, tuple(Sample(str(i), 1) for i in range(n)), read)


def test_true_evidence_gains_and_false_evidence_loses():
    found = measure_evidence(CellReader(), faces(30))
    assert found.n == 30
    for gain, (low, high) in (found.deletion_gain, found.insertion_gain):
        assert 0 < low < gain < high
    assert found.deletion < found.deletion_random
    assert found.insertion > found.insertion_random
    assert found.deletion_gain[0] == pytest.approx(found.deletion_random - found.deletion)
    false = measure_evidence(CellReader(honest=False), faces(30))
    assert false.deletion_gain[1][1] < 0
    assert false.insertion_gain[1][1] < 0


def test_images_are_drawn_by_the_seed_and_reported(monkeypatch):
    monkeypatch.setattr(faithfulness, "IMAGES", 5)
    done, reader = [], CellReader()
    first = measure_evidence(reader, faces(20), seed=1, progress=done.append)
    assert (first.n, done, first.fill) == (5, [1] * 5, "mean colour of the image")
    assert reader.seen == [1, 52] * 5
    assert measure_evidence(CellReader(), faces(20), seed=1) == first
    assert measure_evidence(CellReader(), faces(20), seed=2) != first


def test_bad_images_and_none_stop_it():
    dataset = faces(3)
    broken = Dataset("toy", "none", FERPLUS, (*dataset.samples, Sample("bad", 1)), dataset.read)
    with pytest.raises(DataError, match="bad: gone"):
        measure_evidence(CellReader(), broken)
    with pytest.raises(DataError, match="expected at least one image"):
        measure_evidence(CellReader(), faces(0))


def test_cells_are_ranked_by_what_speaks_for_the_answer_alone():
    evidence = np.zeros((2, 2, 2), np.float32)
    evidence[0] = [[1, 9], [3, 2]]
    evidence[1] = [[0, 9], [0, 0]]  # the second cell speaks for both alike
    prediction = Prediction({"a": 0.9, "b": 0.1}, evidence.sum(axis=(1, 2)), evidence)
    assert rank_cells(prediction).tolist() == [2, 3, 0, 1]
