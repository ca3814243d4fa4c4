"""What a trained learner does, measured on tasks: its weight updates (Fig. 6), and what order does to it."""
