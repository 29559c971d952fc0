"""A local AWS for demos and tests, with real model processes behind it."""
