"""A worker on the official Python SDK: worker.py URI APPLICATION [QUEUE]. Serves the golden workflows and runs until SIGTERM.

Writes `ready` to descriptor 3 when it takes work.
"""

import os
import signal
import sys

from common import configure, golden
from dbos import DBOS, PortableWorkflowError, WorkflowSerializationFormat

uri, application, queue = (sys.argv[1:] + [golden["queue"]])[:3]
configure(uri, application)


class NotFoundError(PortableWorkflowError):
    """The SDK names an error by its type."""


@DBOS.dbos_class(golden["class"])
class Interop:
    @staticmethod
    @DBOS.workflow(name=golden["workflow"], serialization_type=WorkflowSerializationFormat.PORTABLE)
    def canonical(text, num, date, items, meta, flag, empty):
        DBOS.set_event(golden["eventKey"], {"text": text, "num": num, "flag": flag})
        DBOS.write_stream(golden["streamKey"], {"item": text})
        DBOS.close_stream(golden["streamKey"])
        received = DBOS.recv(golden["topic"], 60)
        return {
            "echo_text": text,
            "echo_num": num,
            "echo_dt": date,
            "items_count": len(items),
            "meta_keys": sorted(meta),
            "flag": flag,
            "empty": empty,
            "received": received,
        }

    @staticmethod
    @DBOS.workflow(name=golden["failing"], serialization_type=WorkflowSerializationFormat.PORTABLE)
    def reject_order(order_id):
        failure = golden["failure"]
        raise NotFoundError(failure["message"], failure["name"], failure["code"], {"orderId": order_id})


# Before any thread starts, so that all of them leave the signal to sigwait().
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
DBOS.launch()
DBOS.register_queue(queue, polling_interval_sec=0.1)
os.write(3, b"ready\n")
signal.sigwait({signal.SIGTERM})
DBOS.destroy()
