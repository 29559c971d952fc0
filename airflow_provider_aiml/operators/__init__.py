"""Tasks that ask a model something."""
