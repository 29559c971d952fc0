"""What waits in the triggerer: thin loops over the pure decisions of `inference.outputs`."""
