"""Races whose losers are kept: one script an experiment, ``python -m bench.experiments.NAME``; verdicts in README.md.

``racing`` times functions of this process, ``serving`` whole programs under load; ``hot_path`` is the worker without
sockets that some of them drive. A script measures what the service does now against what it might do instead, so it
is run again before somebody tries the same once more.
"""
