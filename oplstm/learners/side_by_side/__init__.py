"""Programs that train runs of different shapes side by side."""
