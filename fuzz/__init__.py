"""Runs the property tests of tests/ with many more examples (``make fuzz``, ``profile.py``)."""
