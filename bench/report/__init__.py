"""Writes PERF.md, docs/performance-tables.md and pictures from a kept result, the same pages each time.

``page`` is the short page, ``details`` all tables; both use ``targets`` (each target and its verdict). ``million`` is a
price list, ``plots`` draws the SVG files.
"""
