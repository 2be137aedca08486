"""When a run was made, as text."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def new_run_id() -> str:
    """A name for a run that sorts by time and does not collide: ``20261124T031500Z-1f3a``."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def utc_now() -> str:
    """The time as stored in records."""
    return datetime.now(UTC).isoformat(timespec="seconds")
