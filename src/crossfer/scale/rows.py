"""The columns of the result, and rows gathered into a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from crossfer.runtime.columns import PLACE, expression_columns, place_cells
from crossfer.scale.faults import Fault
from crossfer.scale.names import to_text
from crossfer.scale.reading import Image
from crossfer.stored import from_plain, to_plain
from crossfer.types import Face

BINS = 20  # of confidence
MOST_FACES = 20  # images with more are counted together


def schema(labels: Sequence[str]) -> pa.Schema:
    """The columns, for a model's expressions in class order."""
    return pa.schema(
        [
            ("entry", pa.int64()),
            ("path", pa.string()),
            ("member", pa.string()),
            ("escaped", pa.bool_()),
            ("image_sha256", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("faces", pa.int32()),
            ("face", pa.int32()),
            *(
                (name, pa.string() if name == "expression" else pa.float32())
                for name in (*PLACE, *expression_columns(labels))
            ),
            ("prediction_set", pa.list_(pa.string())),
            ("answer", pa.string()),
            ("model_sha256", pa.string()),
            ("cause", pa.string()),
            ("error", pa.string()),
        ]
    )


@dataclass
class Tally:
    """What the rows of a shard say, for the manifest; sums of tallies make the summary.

    Attributes:
        images: how many, those with errors included.
        bytes_read: of all images.
        faces: how many faces.
        faces_an_image: images by their number of faces; the last stands for more as well.
        errors: images by cause.
        examples: for each cause the first image and its message.
        expressions: faces by expression.
        uncertain: faces that the model abstained from.
        confidence: faces by confidence, in ``BINS`` equal steps.
    """

    images: int = 0
    bytes_read: int = 0
    faces: int = 0
    faces_an_image: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    expressions: Counter[str] = field(default_factory=Counter)
    uncertain: int = 0
    confidence: Counter[int] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the inverse is ``from_dict``."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Tally:
        """The inverse of ``to_dict``, of values that were written as JSON.

        Raises:
            ValueError: if a value is not as ``to_dict`` writes it; the message names it.
        """
        return from_plain(cls, values, "tally", strict=False)

    def add(self, other: Tally) -> None:
        """Adds another tally to this one."""
        for name, value in vars(other).items():
            if name == "examples":
                self.examples = value | self.examples
            elif isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)


class Rows:
    """Gathers the rows of a shard.

    Args:
        labels: the model's expressions in class order.
        model_sha256: of the model.
    """

    def __init__(self, labels: Sequence[str], model_sha256: str) -> None:
        self.tally = Tally()
        self._schema = schema(labels)
        self._model = model_sha256
        self._rows: list[dict[str, Any]] = []

    def add(self, image: Image, sha256: str | None, size: tuple[int, int], faces: Sequence[Face]) -> None:
        """The rows of an image that was read: one a face, or one without a face.

        Args:
            image: what was read.
            sha256: of its bytes.
            size: width and height of its pixels.
            faces: largest first.
        """
        start = {
            **self._start(image, sha256),
            "width": size[0],
            "height": size[1],
            "faces": len(faces),
        }
        self._rows += [start | _face(n, face) for n, face in enumerate(faces, start=1)] or [start]
        self.tally.faces += len(faces)
        self.tally.faces_an_image[min(len(faces), MOST_FACES)] += 1
        for face in faces:
            self.tally.expressions[face.expression] += 1
            self.tally.uncertain += bool(face.prediction.abstained)
            self.tally.confidence[min(int(face.confidence * BINS), BINS - 1)] += 1

    def add_fault(self, image: Image, sha256: str | None, fault: Fault) -> None:
        """The row of an image without an answer."""
        message = fault.message.encode("utf-8", "backslashreplace").decode()  # names may be in it as they are
        self._rows.append(self._start(image, sha256) | {"cause": fault.cause, "error": message})
        self.tally.errors[fault.cause] += 1
        self.tally.examples.setdefault(fault.cause, message)

    def _start(self, image: Image, sha256: str | None) -> dict[str, Any]:
        self.tally.images += 1
        path, member, escaped = _place(image.entry.path, image.member)
        return {
            "entry": image.number,
            "path": path,
            "member": member,
            "escaped": escaped,
            "image_sha256": sha256,
            "model_sha256": self._model,
        }

    def __len__(self) -> int:
        return len(self._rows)

    def table(self) -> pa.Table:
        """All rows so far."""
        return pa.Table.from_pylist(self._rows, self._schema)


def _place(path: bytes, member: bytes | None) -> tuple[str, str | None, bool]:
    """Path and member as text; if one must be escaped, both are."""
    if member is None:
        text, escaped = to_text(path)
        return text, None, escaped
    joined, escaped = to_text(path + b"\0" + member)
    first, _, second = joined.partition("\0")
    return first, second, escaped


def _face(number: int, face: Face) -> dict[str, Any]:
    box, found = face.box, face.prediction
    place = place_cells((box.x, box.y, box.width, box.height), face.detection_score, face.landmarks)
    expression = found.expression, found.confidence, *found.probabilities.values()
    return {
        "face": number,
        **dict(zip(PLACE, place, strict=True)),
        **dict(zip(expression_columns(found.probabilities), expression, strict=True)),
        "prediction_set": None if found.prediction_set is None else list(found.prediction_set),
        "answer": None if found.abstained is None else found.answer,
    }
