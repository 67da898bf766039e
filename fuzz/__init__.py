"""``make fuzz``: the property tests of tests/ with many more examples than ``make test`` has time for."""
