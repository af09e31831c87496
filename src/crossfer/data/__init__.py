"""Data sets as lists of samples; each loader lies in a module of its own, and none needs torch."""
