"""An object store as archives use it: a server of byte ranges whose closed objects need a signed URL."""

from __future__ import annotations

import threading
from pathlib import Path

from range_server import Exchange, RangeServer, Request


class ObjectStore(RangeServer):
    """A bucket on loopback.

    Like S3 it refuses a signed URL with any method but the one it was signed for, GET, and a request that
    brings an Authorization header beside a signature.
    """

    def __init__(self, *, latency_s: float = 0.0) -> None:
        super().__init__(latency_s=latency_s)
        self._asked = threading.local()

    @property
    def bucket_url(self) -> str:
        return f"{self.url}/files"

    def put(self, key: str, content: Path | bytes, *, etag: str, closed: bool = False) -> None:
        """Store an object, in place of one that is there; a closed one is read with a signed URL only."""
        if closed:
            self.add_signed(key, content, etag=f'"{etag}"')
        else:
            self._lifetimes.pop(key, None)
            self.add(key, content, etag=f'"{etag}"')

    def count(self, path_contains: str = "", method: str = "") -> int:
        """Return how many requests with that in their path were heard."""
        heard = [each.request for each in self.log]
        return sum(path_contains in each.path and method in ("", each.method) for each in heard)

    def _begin(self, request: Request) -> Exchange:
        self._asked.request = request
        return super()._begin(request)

    def _find(self, name: str, signature: str | None) -> object:
        request = self._asked.request
        if signature is not None and "authorization" in request.headers:
            return 400
        if signature is not None and request.method != "GET":
            return 403
        return super()._find(name, signature)
