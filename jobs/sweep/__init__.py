"""Who decides: the coordinator of a sweep, what it proposes, packs and records."""
