"""Reading images: upright RGB pixels or one clear error, and which files a list of paths means."""
