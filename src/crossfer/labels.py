"""Expression names and every class order in use: the only place that knows them.

Sources: FER+ (Barsoum et al. 2016, ``fer2013new.csv``), FER2013 (Goodfellow et al. 2013), RAF-DB (Li et
al. 2017, labels 1..7), AffectNet (Mollahosseini et al. 2017), SFEW 2.0 (Dhall et al. 2011, folder names).
"""

from __future__ import annotations

from dataclasses import dataclass
from unicodedata import normalize

# Spellings met in folder names and label files, each with the name that crossfer uses for it.
SYNONYMS = {
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "neutrality": "neutral",
}
# Letters of Persian and Hindi, and emoji, are parted and joined by these, which show nothing themselves.
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))


def canonical(name: str) -> str:
    """The name that crossfer uses for a class name as found in a data set, case and common synonyms folded.

    Composed and decomposed letters, as macOS gives those of folders, are the same (Unicode's form NFC).

    >>> canonical("Happy")
    'happiness'
    """
    folded = normalize("NFC", name.strip().lower())
    return SYNONYMS.get(folded, folded)


def can_be_shown(name: str) -> bool:
    r"""Whether a class may be called that: there is something to see, and nothing that a terminal obeys.

    >>> can_be_shown("ten\x1b[31mse"), can_be_shown(" ")
    (False, False)
    """
    seen = name.translate(_JOINERS)
    return bool(seen.strip()) and seen.isprintable()


@dataclass(frozen=True)
class LabelSet:
    """An ordered set of expression names; the position of a name is its class index.

    Attributes:
        name: identifier, such as ``"ferplus"``.
        expressions: distinct expression names in class order.
    """

    name: str
    expressions: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(set(self.expressions)) != len(self.expressions) or not self.expressions:
            raise ValueError(
                f"label set {self.name!r}: expected distinct expression names, got {list(self.expressions)}"
            )

    def __len__(self) -> int:
        return len(self.expressions)

    def index(self, name: str) -> int:
        """Class index of an expression name: as it is written, else with case and synonyms folded in both.

        Raises:
            ValueError: if the set has no such expression; the message lists those it has.
        """
        if name in self.expressions:
            return self.expressions.index(name)
        try:
            return [canonical(own) for own in self.expressions].index(canonical(name))
        except ValueError:
            raise ValueError(
                f"unknown expression {name!r} for label set {self.name!r}; "
                f"expected one of {', '.join(self.expressions)}"
            ) from None

    def has(self, name: str) -> bool:
        """Whether the set has an expression of that name (case and synonyms folded)."""
        return canonical(name) in map(canonical, self.expressions)

    def indices_in(self, other: LabelSet) -> tuple[int, ...]:
        """For each expression of this set its class index in ``other``.

        >>> RAFDB.indices_in(FERPLUS)
        (2, 6, 5, 1, 3, 4, 0)

        Raises:
            ValueError: if ``other`` lacks one of the expressions.
        """
        return tuple(other.index(name) for name in self.expressions)


FERPLUS = LabelSet(
    "ferplus", ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
)
FER2013 = LabelSet("fer2013", ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"))
RAFDB = LabelSet("rafdb", ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"))
AFFECTNET8 = LabelSet(
    "affectnet8", ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
)
AFFECTNET7 = LabelSet("affectnet7", AFFECTNET8.expressions[:7])
SFEW = LabelSet("sfew", ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"))

LABEL_SETS = {s.name: s for s in (FERPLUS, FER2013, RAFDB, AFFECTNET8, AFFECTNET7, SFEW)}


def label_set(name: str) -> LabelSet:
    """A known label set by its name, or one of its own from expressions with commas between, in order.

    >>> label_set("sad, happy").expressions
    ('sadness', 'happiness')

    Raises:
        ValueError: if the name is not known (the message lists those that are), or an expression comes twice,
            is empty, or cannot be shown.
    """
    if "," in name:
        expressions = tuple(canonical(part) for part in name.split(","))
        if not all(expressions):
            raise ValueError(f"label set {name!r}: expected expressions with single commas between")
        if hidden := [each for each in expressions if not can_be_shown(each)]:
            raise ValueError(f"expected expressions in printable characters, found {hidden[0]!r}")
        return LabelSet(",".join(expressions), expressions)
    if name not in LABEL_SETS:
        raise ValueError(f"unknown label set {name!r}; expected one of {', '.join(LABEL_SETS)}")
    return LABEL_SETS[name]
