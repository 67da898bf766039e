"""Checks the memory: whether the memory budget fits into the container's limit."""

from typing import Final

from arsenal_fast.cli.doctor.finding import Check, Finding
from arsenal_fast.config.load import Config, memory_faults
from arsenal_fast.memory_budget import OF_LIMIT, megabytes

CHECK: Final = Check("memory")


def examine(config: Config, limit: int | None) -> Finding:
    """Check the budget. ``limit``: bytes that the container may use, None without one."""
    budget = megabytes(config.memory_budget)
    faults = memory_faults(config)
    if faults:
        mend = "Let MEMORY_BUDGET and MAX_CONNECTIONS be auto, or give the container more memory (or fewer WORKERS)."
        return CHECK.fail(" ".join(faults), mend)
    if limit is not None and config.memory_budget > (OF_LIMIT + 0.1) * limit:
        text = f"MEMORY_BUDGET is {budget} of {megabytes(limit)}: sockets and files in memory count there, too"
        return CHECK.warn(text, f"Set MEMORY_BUDGET to {megabytes(int(limit * OF_LIMIT))} or auto.")
    of = "no limit" if limit is None else megabytes(limit)
    share = config.shares
    return CHECK.ok(f"{budget} of {of}, for {share.connections} connections in each worker")
