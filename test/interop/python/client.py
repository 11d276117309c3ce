"""A client on the official Python SDK: client.py URI APPLICATION ID. Enqueues the golden workflows for whatever worker serves them."""

import sys

from common import check, equal, finish, golden
from dbos import DBOSClient, PortableWorkflowError, WorkflowSerializationFormat

uri, application, workflow_id = sys.argv[1:]
client = DBOSClient(system_database_url=uri.replace("postgresql:", "postgresql+psycopg:"), application_name=application)
PORTABLE = WorkflowSerializationFormat.PORTABLE


def enqueue(name, identity, *arguments):
    target = {"workflow_name": name, "class_name": golden["class"], "queue_name": golden["queue"]}
    return client.enqueue({**target, "workflow_id": identity, "serialization_type": PORTABLE}, *arguments)


handle = enqueue(golden["workflow"], workflow_id, *golden["arguments"])


def message():
    for _ in range(2):
        client.send(workflow_id, golden["message"], golden["topic"], "once", serialization_type=PORTABLE)
    equal(handle.get_result(), golden["output"])


def error():
    rejected = enqueue(golden["failing"], f"{workflow_id}-rejected", "o1")
    try:
        rejected.get_result()
    except PortableWorkflowError as e:
        equal({"name": e.name, "message": e.message, "code": e.code, "data": e.data}, golden["failure"])
        return
    raise AssertionError("the workflow did not fail")


def listed():
    (row,) = client.list_workflows(workflow_ids=[workflow_id])
    equal(row.status, "SUCCESS")
    equal(list(row.input["args"]), golden["arguments"])
    equal(row.output, golden["output"])


check("reads the event that it set", lambda: equal(client.get_event(workflow_id, golden["eventKey"], 30), golden["event"]))
check("reads the stream that it wrote, and sees its end", lambda: equal(list(client.read_stream(workflow_id, golden["streamKey"])), [golden["streamItem"]]))
check("a message reaches it and the result comes back", message)
check("an error comes back with name, message, code and data", error)
check("the workflow is listed with its inputs and output", listed)
client.destroy()
finish()
