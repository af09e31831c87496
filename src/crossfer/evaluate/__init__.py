"""From a model and labelled images to numbers that say how they were made."""
