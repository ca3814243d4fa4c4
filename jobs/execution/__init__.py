"""Who trains: a pack in this process, in one beside it, or on Ray Tune. The only room that imports ray."""
