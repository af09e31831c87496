"""The words for data sets and their parts on the command line and in recipes; light to import."""

from __future__ import annotations

from typing import Literal, get_args

DatasetName = Literal["ferplus", "rafdb", "sfew", "affectnet7", "affectnet8", "folder", "table"]
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Protocol = Literal["majority", "argmax"]
LabelVersion = Literal["fer2013new", "label-csv"]
# Of FERPlus where nothing else is asked for, as in its paper.
PROTOCOL: Protocol = "majority"
LABEL_VERSION: LabelVersion = "fer2013new"

# The user's own images: photos to find faces in, of the classes that the user names.
OWN: frozenset[DatasetName] = frozenset({"folder", "table"})

NAME_OWN = "name classes of your own with --classes, in a recipe as data.classes"
FOUND = "found"  # in place of the classes of a folder: those whose folders are there
