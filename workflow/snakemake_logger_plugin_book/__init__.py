"""Progress of `make book`: a line when a notebook starts and one when it ends (found by its name)."""

import logging
import sys
import time

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent


class LogHandler(LogHandlerBase):
    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.total = 0
        self.started: dict[int, tuple[int, str, float]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self.total = record.stats.get("notebook", 0)
        elif event == LogEvent.JOB_INFO and record.rule_name == "notebook":
            self.started[record.jobid] = len(self.started) + 1, record.wildcards["name"], time.monotonic()
            self.say(record.jobid, "runs")
        elif event == LogEvent.JOB_FINISHED and record.job_id in self.started:
            self.say(record.job_id, "done")
        elif event == LogEvent.JOB_ERROR and record.jobid in self.started:
            self.say(record.jobid, "failed")
        elif (
            event == LogEvent.ERROR and not self.started
        ):  # once notebooks run, the summary says why one failed
            print(record.getMessage(), file=sys.stderr, flush=True)

    def say(self, job: int, word: str) -> None:
        k, name, start = self.started[job]
        seconds = "" if word == "runs" else f" after {time.monotonic() - start:.0f} s"
        print(f"[{k}/{self.total}] {name} {word}{seconds}", file=sys.stderr, flush=True)
