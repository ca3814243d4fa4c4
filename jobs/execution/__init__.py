"""Who trains: a pack in this process or on Ray Tune. The only room that imports ray."""
