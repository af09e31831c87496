"""Scoring a corpus: a listing, deterministic shards, one work function, two engines, whole parts."""
