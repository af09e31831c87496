"""What a user runs: from a photo to faces with expressions, without torch."""
