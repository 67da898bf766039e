"""Longer than ``make test`` has time for.

``make fuzz`` runs the property tests of tests/ with many more examples (``profile.py``). Each ``fuzz_*.py`` runs random
streams for as long as it is told, ends by itself, and prints the seed that repeats it.
"""
