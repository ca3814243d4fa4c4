"""The command line. The only room that imports click and rich."""
