"""What a person sees: progress bars, tables and lines."""
