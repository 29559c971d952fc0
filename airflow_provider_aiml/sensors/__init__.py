"""Tasks that wait for a model's answer."""
