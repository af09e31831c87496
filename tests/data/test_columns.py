"""Samples kept as columns are those that were put there."""

from crossfer.data.columns import SampleColumns, pack


def test_more_classes_than_a_byte_counts():
    labels = [0, 127, 128, 300]
    samples = SampleColumns("/faces", pack(["a.png", "b.png", "c.png", "d.png"]), labels, "train")
    assert [sample.label for sample in samples] == labels
    assert [sample.label for sample in samples.take([3, 2])] == [300, 128]


def test_some_of_the_samples_leave_the_others_as_they_were():
    samples = SampleColumns("/faces", pack(["a.png", "b.png", "c.png"]), [0, 1, 2], "train")
    taken = samples.take([2, 0], "valid").take([0])
    assert [(sample.path, sample.label, sample.split) for sample in taken] == [("/faces/c.png", 2, "valid")]
    assert [(sample.label, sample.split) for sample in samples] == [(0, "train"), (1, "train"), (2, "train")]
