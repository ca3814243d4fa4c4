"""The journal of a sweep on disk: writing, following, locking."""
