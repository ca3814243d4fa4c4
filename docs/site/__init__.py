"""The documentation site: pages with what is generated from the code, and the check of what was built."""
