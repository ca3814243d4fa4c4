"""What is on disk: the home, a sweep's header, its events and the state they make, scores and provenance."""
