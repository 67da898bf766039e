"""A pytest plugin (``-p fuzz.profile``) with the Hypothesis profile ``fuzz``; FUZZ_EXAMPLES for each property."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "10000")),
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
