from __future__ import annotations

import numpy as np
import pytest
import torch

from crossfer.data.sample import DataError, Dataset, Sample
from crossfer.labels import LabelSet
from crossfer.runtime.preprocess import InputContract, resize_crop
from crossfer.train.loader import FaceTensors, load_faces, shuffled
from crossfer.train.loader import drawn as drawn_rows
from support.toy_faces import toy_faces

LABELS = LabelSet("toy", ("neutral", "happiness"))


def numbered(count: int) -> FaceTensors:
    """Faces whose only pixel is their index."""
    index = torch.arange(count)
    return FaceTensors(index.to(torch.uint8)[:, None, None, None], index[:, None].float(), index)


def order(count: int, size: int, *, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    return [
        images.flatten().tolist() for images, _ in numbered(count).read(shuffled(count, size, seed, epoch))
    ]


@pytest.mark.parametrize(("count", "size"), [(12, 4), (13, 4), (15, 4), (4, 4), (1, 1)])
def test_whole_batches_of_distinct_faces(count: int, size: int) -> None:
    found = order(count, size)
    assert [len(batch) for batch in found] == [size] * (count // size)
    drawn = [face for batch in found for face in batch]
    assert len(set(drawn)) == len(drawn) == count // size * size


def test_all_faces_are_drawn_within_a_few_epochs() -> None:
    assert {face for epoch in range(10) for batch in order(13, 4, epoch=epoch) for face in batch} == set(
        range(13)
    )


def test_a_set_smaller_than_a_batch_is_one_batch() -> None:
    assert [sorted(batch) for batch in order(3, 8)] == [[0, 1, 2]]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = order(20, 4, seed=1, epoch=2)
    torch.manual_seed(99)
    assert order(20, 4, seed=1, epoch=2) == first
    assert order(20, 4, seed=1, epoch=3) != first
    assert order(20, 4, seed=2, epoch=2) != first
    assert order(20, 4, seed=2, epoch=1) != first  # runs of neighbouring seeds share no order


def test_images_stay_with_their_targets() -> None:
    for images, targets in numbered(20).read(shuffled(20, 4, 0, 0)):
        assert images.flatten().tolist() == targets.flatten().tolist()


def test_moving_keeps_everything() -> None:
    faces = toy_faces(4)
    moved = faces.to(torch.device("cpu"))
    assert len(moved) == 4
    assert torch.equal(moved.images, faces.images)
    assert torch.equal(moved.targets, faces.targets)
    assert torch.equal(moved.labels, faces.labels)


def dataset(*samples: Sample) -> Dataset:
    def read(sample: Sample) -> np.ndarray:
        if sample.path == "broken":
            raise DataError("broken: cannot be read")
        return np.random.default_rng(len(sample.path)).integers(0, 255, (30, 20, 3), np.uint8)

    return Dataset("toy", "majority", LABELS, samples, read)


@pytest.mark.parametrize("contract", [InputContract(size=16), InputContract(size=8, color="rgb")])
def test_faces_are_prepared_as_the_runtime_does(contract: InputContract) -> None:
    listed = dataset(Sample("a", 1, (0.25, 0.75)), Sample("bb", 0, (0.5, 0.5)))
    seen: list[int] = []
    faces = load_faces(listed, contract, votes=True, progress=seen.append)
    assert faces.images.dtype == torch.uint8
    for image, sample in zip(faces.images, listed.samples, strict=True):
        assert np.array_equal(image, resize_crop(listed.read(sample), contract))
    assert faces.targets.tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert faces.labels.tolist() == [1, 0]
    assert seen == [1, 1]
    assert load_faces(listed, contract, votes=False).targets.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        (dataset(), "toy: no images under protocol 'majority'"),
        (dataset(Sample("a", 0)), "a: no votes; use target = 'label'"),
        (dataset(Sample("broken", 0, (1.0, 0.0))), "broken: cannot be read"),
    ],
)
def test_what_cannot_be_learnt_from_is_named(listed: Dataset, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_faces(listed, InputContract(size=8), votes=True)


def test_a_limit_draws_the_same_images_each_time() -> None:
    listed = dataset(*(Sample(f"{i}.png", i % 2) for i in range(40)))
    whole, drawn = (load_faces(listed, InputContract(size=4), votes=False, limit=n) for n in (None, 10))
    assert (len(whole), len(drawn)) == (40, 10)
    again = load_faces(listed, InputContract(size=4), votes=False, limit=10)
    assert torch.equal(drawn.images, again.images)
    assert torch.equal(drawn.labels, again.labels)
    rows = drawn_rows(listed, 10)
    assert rows == sorted(set(rows)) != list(range(10))  # sets are often listed class by class
    assert len(load_faces(listed, InputContract(size=4), votes=False, limit=99)) == 40
