"""Models that the local AWS can run: two for the demo, two for tests."""
