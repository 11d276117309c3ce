"""A worker on the official Python SDK: worker.py URI APPLICATION LOG. As worker.mjs."""

import os
import signal
import sys
import time

from dbos import DBOS, WorkflowSerializationFormat

uri, application, log = sys.argv[1:]
DBOS(
    config={
        "name": application,
        "application_version": f"{application}-1",
        "system_database_url": uri.replace("postgresql:", "postgresql+psycopg:"),
        "log_level": "WARNING",
    }
)
# One write each: lines of several threads and processes do not mix.
out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def note(job_id, edge):
    os.write(out, f"{os.environ['DBOS__VMID']}\t{job_id}\t{edge}\t{time.time_ns() // 1000000}\n".encode())


@DBOS.step(name="work")
def work(job_id, ms):
    note(job_id, "begin")
    time.sleep(ms / 1000)
    note(job_id, "end")


@DBOS.workflow(name="job", serialization_type=WorkflowSerializationFormat.PORTABLE)
def job(job_id, ms):
    work(job_id, ms)
    return job_id


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
DBOS.launch()
os.write(3, b"ready\n")
signal.sigwait({signal.SIGTERM})
DBOS.destroy()
