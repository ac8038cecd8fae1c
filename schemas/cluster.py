"""A dask cluster as an executor, by which the loop over sessions runs on many machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakSet

from nwbswitch.schemas.errors import MissingExtraError, NwbswitchError
from nwbswitch.schemas.progress import Step

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from distributed import Client

Value = TypeVar("Value")
Listener = Callable[[Step], None]

_CONNECT_S = 20


class ClusterExecutor(Executor):
    """A dask client as an executor, whose jobs can be listened to while they run.

    A job whose worker dies is done again by another one, also when it was done and its result not fetched
    yet. dask's own executor waits for good when that fails, and may take such a result for an error.

    Parameters
    ----------
    client
        A `distributed.Client`; it is not closed here.
    """

    def __init__(self, client: Client) -> None:
        self._client = cast("Any", client)
        self._futures: WeakSet[Future[Any]] = WeakSet()
        self._ended = False

    def submit(self, fn: Callable[..., Value], /, *args: Any, **kwargs: Any) -> Future[Value]:
        """Queue a call on the cluster."""
        if self._ended:
            raise RuntimeError("an executor that was shut down takes no calls")
        # A job writes files: the same call twice is not the same as its first result.
        begun = self._client.submit(fn, *args, **kwargs, pure=False)
        future: Future[Value] = Future()
        future.add_done_callback(lambda done: begun.cancel() if done.cancelled() else None)
        self._futures.add(future)
        self._client.loop.add_callback(_hand_on, begun, future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for what was submitted, or cancel it."""
        self._ended = True
        futures = list(self._futures)
        if cancel_futures:
            for each in futures:
                each.cancel()
        if wait:
            wait_for(futures)

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


async def _hand_on(begun: Any, future: Future[Any]) -> None:
    """Give what became of a call on the cluster to the future of its caller."""
    try:
        value = await begun
    except CancelledError:
        future.cancel()
        future.set_running_or_notify_cancel()
    except BaseException as error:
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
    else:
        if future.set_running_or_notify_cancel():
            future.set_result(value)


def in_words(error: Exception) -> Exception:
    """Return the error of a job as one of ours where it says that workers of the cluster died."""
    if "distributed" not in sys.modules:
        return error
    from distributed import KilledWorker

    if not isinstance(error, KilledWorker):
        return error
    times = error.allowed_failures + 1
    return NwbswitchError(
        f"the worker of the cluster that did this ended {times} time{'s' * (times > 1)} before it was done. "
        "Memory may have run out: give each worker more of it."
    )


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
