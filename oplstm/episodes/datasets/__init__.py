"""Image datasets on disk: importing them once from what their authors publish, and opening what was imported."""
