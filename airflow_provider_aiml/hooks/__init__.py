"""Authentication, region and clients: the only rooms that know the amazon provider."""
