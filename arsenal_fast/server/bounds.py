"""The sizes that one worker's connections may reach together and alone."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bytes of one worker, where no other unit is named. The defaults fit a container of 256 MB.

    Not counted are the first SMALL bytes of a request's body (``protocol.py``) and what the kernel holds.
    """

    received: int = 32 * 1024 * 1024
    """Received and not yet answered: unfinished heads and bodies, requests that wait for room, bodies of requests
    in work. At seven eighths of it reading stops, at all of it the connection is answered 503."""
    received_of_client: int = 8 * 1024 * 1024
    """The same of one client's address; beyond it reading of its connections stops."""
    unsent: int = 32 * 1024 * 1024
    """Answers that clients do not read. Beyond it the connection that has not read for the longest time is cut off."""
    unsent_of_connection: int = 256 * 1024
    """Answers of one connection that wait for an earlier one; beyond it no further request of it begins. (Answers that
    were written and not read have the transport's bound, 64 KiB.)"""
    min_rate: int = 1024
    """Bytes a second that a client must read, over the time for writing, while answers wait for it."""
