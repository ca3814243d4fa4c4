"""One file a method; every learner is written once on the leading axes (R runs, B tasks)."""
