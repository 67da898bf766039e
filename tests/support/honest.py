"""Another client of a service that is under attack, and how long the service lets it wait."""

import os

from tests.support.http_client import Answer, Client
from tests.support.processes import waited_s


class Honest:
    """``worst_s``: seconds until an answer, at most, without those in which either process was ready and had no
    processor: on a machine that has other things to do they say nothing of the service.
    """

    def __init__(self, client: Client, service_pid: int) -> None:
        self._client = client
        self._pids = (service_pid, os.getpid())
        self.worst_s = 0.0

    async def ask(self, octets: bytes) -> Answer:
        """Ask, and take nothing but a 200."""
        waited = waited_s(*self._pids)
        answer = await self._client.ask(octets)
        assert answer.status == 200
        self.worst_s = max(self.worst_s, answer.seconds - (waited_s(*self._pids) - waited))
        return answer
