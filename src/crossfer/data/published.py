"""How many images each split and class should have: what a copy is held against.

Sources: RAF-DB's and SFEW 2.0's pages and papers; AffectNet's paper and the copies in circulation, some of
which lack one validation image; FERPlus counted on the publishers' files (see ``crossfer.data.ferplus``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """The counts of a split.

    Attributes:
        totals: the numbers of images that a whole copy may have.
        per_class: images of each class in class order; None where not published.
        firm: whether another number means that the copy is not whole; otherwise copies are known to differ.
    """

    totals: tuple[int, ...]
    per_class: tuple[int, ...] | None = None
    firm: bool = True


PUBLISHED: dict[tuple[str, str], dict[str, Published]] = {
    ("ferplus", "majority/fer2013new"): {
        "train": Published((25_057,)),
        "valid": Published((3_199,)),
        "test": Published((3_152,), (1089, 893, 396, 384, 273, 18, 83, 16)),
    },
    ("ferplus", "majority/label-csv"): {
        "train": Published((25_045,)),
        "valid": Published((3_191,)),
        "test": Published((3_137,)),
    },
    ("ferplus", "argmax/fer2013new"): {
        "train": Published((28_386,)),
        "valid": Published((3_553,)),
        "test": Published((3_545,)),
    },
    ("rafdb", ""): {
        "train": Published((12_271,), (1290, 281, 717, 4772, 1982, 705, 2524)),
        "test": Published((3_068,), (329, 74, 160, 1185, 478, 162, 680)),
    },
    ("sfew", ""): {"train": Published((958,), firm=False), "test": Published((436,), firm=False)},
    ("affectnet7", ""): {"train": Published((283_901,)), "test": Published((3_500, 3_499))},
    ("affectnet8", ""): {"train": Published((287_651,)), "test": Published((4_000, 3_999))},
}


def published_counts(name: str, protocol: str, split: str) -> Published | None:
    """The published counts of a split, or None where there are none."""
    key = (name, protocol if name == "ferplus" else "")
    return PUBLISHED.get(key, {}).get(split)
