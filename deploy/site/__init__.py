"""Builds the documentation site (``make docs``) from the Markdown files and the service's own tables."""
