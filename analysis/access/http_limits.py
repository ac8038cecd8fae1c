"""How patient and how polite requests for bytes are, and the count of what they brought."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass

LONGEST_PAUSE_S = 20.0


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """How patient and how polite requests are."""

    at_once: int = 16
    """Requests to one host under way together, in one process."""
    interval_s: float = 0.0
    """Least time between the beginnings of two requests to one host, in one process."""
    tries: int = 6
    patience_s: float = 120.0
    """For all tries of one request together."""
    pause_s: float = 0.25
    """Longest wait before the second try; doubled for each further one."""
    connect_s: float = 10.0
    silence_s: float = 30.0
    """Longest wait for the next bytes of an answer."""
    slowest_bytes_per_s: float = 20_000.0
    """Answers that stay below this for ``silence_s`` are given up."""

    def pause_before(self, try_number: int) -> float:
        """Return how long to wait, s, before a try, from 2: drawn, so that clients do not come together."""
        longest_s = min(self.pause_s * 2.0 ** (try_number - 2), LONGEST_PAUSE_S)
        return random.uniform(longest_s / 2, longest_s)

    def deadline_s(self, now_s: float, length: int) -> float:
        """Return when an answer of ``length`` bytes has to be complete."""
        return now_s + self.silence_s + length / self.slowest_bytes_per_s


class ByteStatistics:
    """What was asked of servers, counted over threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self.n_requests = 0
        """Redirects and tries that failed included."""
        self.n_bytes = 0
        """Of bodies that were used."""
        self.n_wasted_bytes = 0
        """Of them, those between ranges that were asked for together."""
        self.n_retries = 0

    def add(self, *, requests: int = 0, n_bytes: int = 0, wasted_bytes: int = 0, retries: int = 0) -> None:
        """Count further ones."""
        with self._turn:
            self.n_requests += requests
            self.n_bytes += n_bytes
            self.n_wasted_bytes += wasted_bytes
            self.n_retries += retries
