"""Ray Tune: sweeps and their coordinator, promotion, final runs and the command line."""
