"""Training: recipes, faces in batches, the loop, checkpoints, export."""
