"""Scoring a corpus: a listing, deterministic shards, one work function, two engines, parts that are whole or absent."""
