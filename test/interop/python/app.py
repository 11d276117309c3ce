"""An application on the official Python SDK: app.py URI APPLICATION. Launches (which migrates where it is due) and uses every durable feature once."""

import sys

from common import check, configure, equal, finish
from dbos import DBOS, SetWorkflowID

uri, application = sys.argv[1:]
configure(uri, application)


@DBOS.workflow(name="child")
def child(text):
    return DBOS.run_step({"name": "shout"}, lambda: text.upper())


@DBOS.workflow(name="everything")
def everything(text):
    length = DBOS.run_step({"name": "measure"}, lambda: len(text))
    DBOS.set_event("length", length)
    DBOS.write_stream("words", text)
    DBOS.close_stream("words")
    DBOS.sleep(0.05)
    handle = DBOS.start_workflow(child, text)
    message = DBOS.recv("greeting", 30)
    return {"length": length, "shouted": handle.get_result(), "message": message}


@DBOS.workflow(name="stumbling")
def stumbling():
    def stumble():
        raise ValueError("the step fails")

    return DBOS.run_step({"name": "stumble"}, stumble)


@DBOS.workflow(name="queued")
def queued(n):
    return n * 2


identity = f"{application}-everything"
result = {"length": 7, "shouted": "DURABLE", "message": {"from": "test"}}


def completes():
    with SetWorkflowID(identity):
        handle = DBOS.start_workflow(everything, "durable")
    equal(DBOS.get_event(identity, "length", 30), 7)
    equal(list(DBOS.read_stream(identity, "words")), ["durable"])
    DBOS.send(identity, {"from": "test"}, "greeting")
    equal(handle.get_result(), result)
    equal(
        [step["function_name"] for step in DBOS.list_workflow_steps(identity)],
        "measure DBOS.setEvent DBOS.writeStream DBOS.closeStream DBOS.sleep child DBOS.recv DBOS.sleep DBOS.getResult".split(),
    )


def fails():
    try:
        DBOS.start_workflow(stumbling).get_result()
    except ValueError as e:
        equal(str(e), "the step fails")
        return
    raise AssertionError("the workflow did not fail")


def drains():
    DBOS.register_queue(f"{application}-queue", polling_interval_sec=0.1, worker_concurrency=2)
    handles = [DBOS.enqueue_workflow(f"{application}-queue", queued, n) for n in range(5)]
    equal([handle.get_result() for handle in handles], [0, 2, 4, 6, 8])


if not check("the SDK launches", DBOS.launch):
    finish()
check("a workflow with step, event, stream, sleep, child and message completes", completes)
check("a failed step fails its workflow with the recorded error", fails)
check("a queue is registered and drained", drains)
check("a finished workflow is forked from a step", lambda: equal(DBOS.fork_workflow(identity, 9).get_result(), result))
DBOS.destroy()
finish()
