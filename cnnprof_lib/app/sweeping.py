"""Makes what a sweep lacks: hands runs to workers, stores what comes back, tries again what was lost."""

from __future__ import annotations

import contextlib
import queue
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from ..base.errors import MeasureError, one_line
from ..base.files import try_writing
from ..base.locks import only_process
from ..base.processes import Stopped
from ..base.stamps import utc_now
from ..records.project import Project
from ..records.run import FailureRecord, RunRecord
from .sweep_engine import Where, connected, resources_of, revive, workers_of
from .sweep_job import Made, make_run
from .sweep_plan import Plan, PlannedRun, files_for

TRIES = 2
"""Of a run, before it is a failure."""
LEAST_LIMIT_S, LIMIT_FACTOR, UNKNOWN_LIMIT_S = 600, 20, 7200
"""A cell of a run may take so many times what stored runs took in all, and at least that; else the last. Own choice."""
_BEAT_S = 2.0

Say = Callable[[str], None]
OnEnd = Callable[[PlannedRun, RunRecord | FailureRecord], None]


def make_missing(
    plan: Plan, project: Project, where: Where, *, on_end: OnEnd, say: Say, limit_s: int | None = None
) -> int:
    """Makes and stores the missing runs of a plan, and returns how many failed.

    A run is stored when its result has come back, under the id that the plan gave it. So it is there once or not at
    all, however often it was tried.

    Args:
        plan: What to make.
        project: Where parameters, weights and results are.
        where: Who makes it.
        on_end: Called with each run and what became of it, when that is stored.
        say: Told in a line what else happens: where the dashboard is, a worker that is lost, a run that is tried again.
        limit_s: How long a cell of a run may take, instead of by what stored runs took.

    Raises:
        CnnprofError: a result cannot be stored, the scheduler is gone, or another process makes sweeps here.
    """
    home = project.store.outputs / "sweeps"
    try_writing(home)
    with only_process(home, "makes a sweep here"), connected(where) as client:
        say(f"Dashboard: {client.dashboard_link}")
        loop = _Loop(plan, project, client, where, on_end, say, limit_s)
        try:
            loop.run()
        except Stopped:
            loop.give_up()
            raise
        return loop.failed


class _Loop:
    def __init__(
        self, plan: Plan, project: Project, client: Any, where: Where, on_end: OnEnd, say: Say, limit_s: int | None
    ) -> None:
        self.failed = 0
        self._project, self._client, self._on_end, self._say, self._limit_s = project, client, on_end, say, limit_s
        self._where, self._address = where, where.scheduler or "Dask"
        self._waiting = deque(plan.missing)
        self._tries: Counter[str] = Counter()
        self._flying: dict[Any, PlannedRun] = {}
        self._landed: queue.Queue[Any] = queue.Queue()
        self._workers: set[str] = set()
        self._needs: dict[str, float] | None = None
        self._is_alone, self._most = False, 1

    def run(self) -> None:
        while self._waiting or self._flying:
            self._watch()
            self._send()
            with contextlib.suppress(queue.Empty):
                future = self._landed.get(timeout=_BEAT_S)
                self._land(future, self._flying.pop(future))

    def give_up(self) -> None:
        """Tells the workers that nobody waits any more."""
        with contextlib.suppress(Exception):
            self._client.cancel(list(self._flying), force=True)

    def _watch(self) -> None:
        """Says which workers are lost; ends where the scheduler is gone for good."""
        if self._client.status not in ("running", "connecting"):
            raise MeasureError(
                f"{self._address}: the scheduler is gone. What is complete is stored. "
                "Start the same command again when it is back."
            )
        if self._client.status == "connecting":
            return
        with contextlib.suppress(OSError):
            workers = workers_of(self._client)
            now, self._needs = set(workers), resources_of(workers)
            for lost in sorted(self._workers - now):
                self._say(f"{lost}: the worker is lost; its run is made again by another one.")
            if not now and not self._is_alone:
                self._say("No worker is there. Waiting for one.")
            self._workers, self._is_alone = now, not now
            if len(now) < self._most:
                revive(self._client, self._where)
            self._most = max(self._most, len(now))

    def _send(self) -> None:
        """Hands out runs, one more than there are workers for, so that none of them waits for us."""
        if self._client.status != "running" or not self._workers:
            return
        while self._waiting and len(self._flying) <= len(self._workers):
            run = self._waiting.popleft()
            future = self._client.submit(
                make_run,
                run.request.model_dump(mode="json"),
                files_for(run, self._project),
                self._limit(run),
                key=f"{run.identity.network}-{run.identity.runtime}-{run.request.run_id}-{self._tries[run.request.run_id]}",
                pure=False,
                resources=self._needs,
            )
            self._flying[future] = run
            future.add_done_callback(self._landed.put)

    def _limit(self, run: PlannedRun) -> int:
        if self._limit_s is not None:
            return self._limit_s
        if run.expected_s is None:
            return UNKNOWN_LIMIT_S
        return max(LEAST_LIMIT_S, round(LIMIT_FACTOR * run.expected_s))

    def _land(self, future: Any, run: PlannedRun) -> None:
        if future.status in ("cancelled", "lost"):
            self._say(f"{run.identity}: the scheduler lost it; it is made again.")
            self._waiting.append(run)
            return
        if future.status == "error":
            made = Made(b"", {}, _in_a_line(future), "", None, 0.0)
        else:
            try:
                made = Made(*future.result(timeout=60))
            except Exception as error:  # its worker went before it could be fetched
                self._say(f"{run.identity}: its result is lost ({one_line(str(error))}); it is made again.")
                self._waiting.append(run)
                return
        record = _record_of(made, run)
        if isinstance(record, FailureRecord):
            self._tries[run.request.run_id] += 1
            if self._tries[run.request.run_id] < TRIES:
                self._say(f"{run.identity}: failed: {record.error} It is tried once more.")
                self._waiting.append(run)
                return
            self.failed += 1
        self._project.store.write_files(record, made.files)
        self._on_end(run, record)


def _record_of(made: Made, run: PlannedRun) -> RunRecord | FailureRecord:
    """What came back as a record of the sweep; what is no such record, or another run's, is a failure."""
    error = made.error
    if not error:
        try:
            record = RunRecord.model_validate_json(made.record)
        except ValidationError as problem:
            error = f"What {made.host} sent is no record: {problem.errors()[0]['msg'].lower()}."
        else:
            if (record.name, record.runtime, record.run_id) == (*run.identity[:2], run.request.run_id):
                machine = record.machine.model_copy(update={"host": record.machine.host or made.host})
                return record.model_copy(update={"purpose": "sweep", "commit": made.commit, "machine": machine})
            error = f"What {made.host} sent is another run's: {record.name} {record.runtime} {record.run_id}."
    return FailureRecord(
        run_id=run.request.run_id,
        series=run.request.series,
        purpose="sweep",
        created=utc_now(),
        variant=run.identity.network,
        runtime=run.identity.runtime,
        error=error,
    )


def _in_a_line(future: Any) -> str:
    error = future.exception()
    return f"{type(error).__name__}: {one_line(str(error))[:300]}"
