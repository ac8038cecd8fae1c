"""A dask cluster as an executor, by which the loop over sessions runs on many machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nwbswitch.schemas.errors import MissingExtraError, NwbswitchError
from nwbswitch.schemas.progress import Step

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from distributed import Client

Value = TypeVar("Value")
Listener = Callable[[Step], None]

_CONNECT_S = 20


class ClusterExecutor(Executor):
    """The executor of a dask client, whose jobs can be listened to while they run.

    Parameters
    ----------
    client
        A `distributed.Client`; it is not closed here.
    """

    def __init__(self, client: Client) -> None:
        self._client = cast("Any", client)
        # A job writes files: the same call twice is not the same as its first result.
        self._executor = self._client.get_executor(pure=False)

    def submit(self, fn: Callable[..., Value], /, *args: Any, **kwargs: Any) -> Future[Value]:
        """Queue a call on the cluster."""
        future: Future[Value] = self._executor.submit(fn, *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was submitted, or cancel it."""
        self._executor.shutdown(wait=wait and not cancel_futures)

    @contextmanager
    def listening(self, channel: str, listener: Listener) -> Iterator[None]:
        """Hand what jobs tell through ``channel`` to the listener while the block runs."""

        def hear(event: tuple[float, tuple[int, int, int, str]]) -> None:
            listener(Step(*event[1]))

        self._client.subscribe_topic(channel, hear)
        try:
            yield
        finally:
            self._client.unsubscribe_topic(channel)


@contextmanager
def connected(scheduler: str | None) -> Iterator[ClusterExecutor | None]:
    """Yield the executor of the dask cluster with this scheduler; nothing when none is named.

    Parameters
    ----------
    scheduler
        Address, e.g. ``tcp://node17:8786``, or the path of a scheduler file.

    Raises
    ------
    MissingExtraError
        distributed is not installed.
    NwbswitchError
        No scheduler answers there.
    """
    if scheduler is None:
        yield None
        return
    if find_spec("distributed") is None:
        raise MissingExtraError("distributed", "cluster")
    import distributed

    make_client: Any = distributed.Client
    where = {"scheduler_file": scheduler} if Path(scheduler).is_file() else {"address": scheduler}
    try:
        client = make_client(**where, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NwbswitchError(
            f"{scheduler}: no dask scheduler answers there ({error}). Start one with 'dask scheduler', "
            "and workers that see the same files under the same paths."
        ) from error
    with client:
        yield ClusterExecutor(client)


def listening(executor: Executor | None, channel: str, listener: Listener) -> AbstractContextManager[None]:
    """Hand what jobs on a cluster tell to the listener; nothing happens for other executors."""
    if isinstance(executor, ClusterExecutor):
        return executor.listening(channel, listener)
    return nullcontext()


def tell_cluster(channel: str, step: Step) -> None:
    """Send a step from a job on a cluster to the client that listens; elsewhere nothing happens."""
    if "distributed" not in sys.modules:
        return
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return
    worker.log_event(channel, [step.place, step.done, step.total, step.unit])
