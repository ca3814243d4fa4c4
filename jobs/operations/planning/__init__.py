"""What a plan foresees: the packs that a job would make, and the hours that it would take."""
