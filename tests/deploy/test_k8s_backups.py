"""The scripts of the backup CronJobs, run as the pods run them, against a real Redis and a real PostgreSQL."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from arsenal_fast.ledger_command import run_ledger  # type: ignore[attr-defined]
