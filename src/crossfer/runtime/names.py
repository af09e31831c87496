"""The words for what finds faces, in every interface; light to import."""

from __future__ import annotations

from typing import Literal

DetectorName = Literal["centerface", "none"]
