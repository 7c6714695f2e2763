"""Wraps the partitioner, so that a mistake is more than a trap: an exception goes to the host's
log with its stack, an invalid decision is reported, and `print` writes to the log. A new rule needs no change here.
"""

import functools
import io
import sys
import time

from componentize_py_types import Err
from wit_world.imports import log
from wit_world.imports.types import (
    Decision_Any,
    Decision_KeyHash,
    Decision_Partition,
    Decision_Reject,
    Decision_Tenant,
    TenantKey,
)

MAX_FRAMES = 8
"""How many places of a stack are shown: a recursion has hundreds."""

MAX_TEXT = 500
"""How much of a value is shown."""


def configures(configure):
    """Wraps `configure(self, config)`."""

    @functools.wraps(configure)
    def guarded(self, config):
        _serve()
        try:
            return configure(self, config)
        except Err:
            # A refusal, which the host tells the operator.
            raise
        except BaseException as error:
            log.log(log.Level.ERROR, _told(error))
            raise

    return guarded


def decides(partition):
    """Wraps `partition(self, key, partitions)`."""

    @functools.wraps(partition)
    def guarded(self, key, partitions):
        try:
            decision = partition(self, key, partitions)
            if not _is_decision(decision):
                raise TypeError(
                    f"partition returned {_shown(decision)}; expected Decision_Partition(<int>), Decision_KeyHash(<bytes>), "
                    "Decision_Any(), Decision_Tenant(TenantKey(<str>, None)) or Decision_Reject(<str>)"
                )
            return decision
        except BaseException as error:
            log.log(log.Level.ERROR, _told(error))
            # A trap: the record gets what the route's `on_error` says, the next one a fresh instance.
            raise

    return guarded


def _told(error):
    """One line: what was raised, and where, innermost first. `traceback` would look for the source, and there is no file."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code, trace.tb_lineno))
        trace = trace.tb_next
    shown = [(code, line) for code, line in _ends(frames) if code.co_filename != __file__]
    places = [f"at {code.co_name} ({code.co_filename}:{line})" for code, line in shown]
    return f"{type(error).__name__}: {str(error)[:MAX_TEXT]} {', '.join(reversed(places))}".rstrip()


def _ends(frames):
    """The outermost two and the innermost places of a long stack: the others repeat themselves."""
    return frames if len(frames) <= MAX_FRAMES else frames[:2] + frames[2 - MAX_FRAMES :]


def _is_decision(decision):
    match decision:
        case Decision_Partition(value=value):
            return type(value) is int and 0 <= value <= 0xFFFF_FFFF
        case Decision_KeyHash(value=value):
            return isinstance(value, bytes)
        case Decision_Any():
            return True
        case Decision_Tenant(value=TenantKey(tenant=tenant, shard_key=shard_key)):
            return isinstance(tenant, str) and (shard_key is None or isinstance(shard_key, bytes))
        case Decision_Reject(value=value):
            return isinstance(value, str)
    return False


def _shown(value):
    try:
        return repr(value)[:MAX_TEXT]
    except Exception:
        return f"a {type(value).__name__}"


class _Lines(io.TextIOBase):
    """The file that `print` writes to: it logs each line."""

    def __init__(self, level):
        self.level = level
        self.rest = ""

    def write(self, text):
        *lines, rest = (self.rest + text).split("\n")
        for line in lines:
            log.log(self.level, line)
        # Text without a line break must not grow for ever.
        if len(rest) > 2 * MAX_TEXT:
            log.log(self.level, rest)
            rest = ""
        self.rest = rest
        return len(text)


def _serve():
    """Runs before the first call of an instance. While the component is built there is no log yet, and there is a clock."""
    sys.stdout = _Lines(log.Level.INFO)
    sys.stderr = _Lines(log.Level.WARN)
    clocks = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
    for clock in (*clocks, *(f"{name}_ns" for name in clocks), "sleep", "gmtime", "localtime", "ctime"):
        if hasattr(time, clock):
            setattr(time, clock, _no_clock)


def _no_clock(*_):
    raise RuntimeError("there is no clock in a partitioner; a record's own time is message.timestamp()")
