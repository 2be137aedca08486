"""Where the runs of a sweep are made: workers of Dask on this host, on a cluster, or in jobs of a batch system."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.errors import CnnprofError, MeasureError, one_line
from ..params.sweep import ClusterSpec

LOOPBACK = "127.0.0.1"
TIMING = "timing"
"""The resource of which a worker has one and a run takes one."""
_MOST_DEATHS = 10
"""Of workers of our own under one run before it is that run's fault: whoever kills workers meant no run by it."""
_CLASSES = {"htcondor": "HTCondorCluster", "local": "LocalCluster"}


@dataclass(frozen=True)
class Where:
    """Where runs are made: on this host, unless a scheduler or a cluster is named.

    Attributes:
        workers: On this host.
        scheduler: Address of a scheduler that runs already, ``tcp://...`` or ``tls://...``.
        cluster: Jobs to ask a batch system for.
        tls: Files of a CA, a certificate and its key, for ``tls://``.
    """

    workers: int = 1
    scheduler: str = ""
    cluster: ClusterSpec | None = None
    tls: tuple[Path, Path, Path] | None = None

    @property
    def is_remote(self) -> bool:
        """Whether workers may be on other hosts, which have other folders."""
        return bool(self.scheduler or self.cluster)


@contextlib.contextmanager
def connected(where: Where) -> Iterator[Any]:
    """A Dask client, with what it needs started, and ended whatever happens.

    Raises:
        CnnprofError: Dask is not installed, or the scheduler does not answer.
    """
    distributed = _distributed()
    security = _security(where)
    with contextlib.ExitStack() as stack:
        try:
            address: Any = where.scheduler or stack.enter_context(_cluster(where, security))
            client = stack.enter_context(distributed.Client(address, security=security, timeout="30s"))
        except (OSError, ValueError, RuntimeError, TypeError) as error:
            named = where.scheduler or (where.cluster.name if where.cluster else "Dask")
            raise MeasureError(
                f"{named}: cannot be reached or started. Received: {one_line(str(error)).rstrip('.')}."
            ) from None
        yield client


def _distributed() -> Any:
    """Dask's package, told to keep its log to itself: what of it matters is said in a line here."""
    try:
        import dask
        import dask.system

        dask.config.set(
            {
                "logging.distributed": "critical",
                "distributed.scheduler.allowed-failures": _MOST_DEATHS,
                "distributed.deploy.lost-worker-timeout": "5s",  # then `revive` may start another
                "distributed.worker.memory.terminate": False,  # what takes memory are processes that it does not see
                "distributed.worker.memory.pause": False,
                # Idle workers that watch themselves take 15% of a core while others time; so they take 2%.
                "distributed.worker.profile.enabled": False,
                "distributed.worker.memory.monitor-interval": "10s",
                "distributed.admin.tick.interval": "1s",
                "distributed.admin.system-monitor.interval": "10s",
                "distributed.admin.large-graph-warning-threshold": "1GiB",  # a run comes with its weights
            }
        )
        import distributed
    except ImportError:
        raise CnnprofError("A sweep needs Dask. Install it: pip install 'cnnprof[sweep]'") from None
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


def _security(where: Where) -> Any:
    if where.tls is None:
        return None
    from distributed.security import Security

    ca, certificate, key = map(str, where.tls)
    sides = {
        f"tls_{side}_{name}": path
        for side in ("client", "scheduler", "worker")
        for name, path in (("cert", certificate), ("key", key))
    }
    return Security(require_encryption=True, tls_ca_file=ca, **sides)


def _cluster(where: Where, security: Any) -> Any:
    if where.cluster is None:
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=where.workers,
            threads_per_worker=1,
            host=LOOPBACK,
            dashboard_address=f"{LOOPBACK}:0",
            resources={TIMING: 1},
            memory_limit=0,
            silence_logs=logging.CRITICAL,
            security=security,
        )
    try:
        import dask_jobqueue
        import dask_jobqueue.local
    except ImportError:
        raise CnnprofError("--cluster needs dask-jobqueue. Install it: pip install 'cnnprof[sweep]'") from None
    spec = where.cluster
    module = dask_jobqueue.local if spec.kind == "local" else dask_jobqueue
    kind = getattr(module, _CLASSES.get(spec.kind, f"{spec.kind.upper()}Cluster"))
    options = dict(spec.options)
    scheduler = {"dashboard_address": f"{LOOPBACK}:0"}
    if host := options.pop("host", LOOPBACK if spec.kind == "local" else None):
        scheduler["host"] = str(host)
    cluster = kind(
        processes=1,
        worker_extra_args=["--nthreads", "1", "--resources", f"{TIMING}=1"],
        scheduler_options=scheduler,
        security=security,
        **options,
    )
    cluster.scale(jobs=spec.jobs)
    return cluster


def revive(client: Any, where: Where) -> None:
    """Has workers of our own started anew that are gone for good: killed while they started, or at the end of a job.

    Those of a scheduler that runs already are not ours.
    """
    if client.cluster is not None:
        client.cluster.scale(where.cluster.jobs if where.cluster else where.workers)


def workers_of(client: Any) -> dict[str, Any]:
    """What there is to know of each worker, by address."""
    found: dict[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def resources_of(workers: Mapping[str, Any]) -> dict[str, float] | None:
    """What a run asks of a worker: its `TIMING`, where all have one; others' workers hold one run for each thread."""
    return {TIMING: 1} if all(TIMING in worker["resources"] for worker in workers.values()) else None
