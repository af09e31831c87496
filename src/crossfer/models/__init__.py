"""The embedded models, each a bundle with its model card and the evaluation behind the card."""
