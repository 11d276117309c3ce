"""The same application in Python: app.py URI LOG. This SDK names its sessions alike in every process: `connect_args` tells them apart."""
import os
import signal
import sys
import threading
import time

from dbos import DBOS, SetWorkflowID

uri, log = sys.argv[1:3]
name, version = os.environ["DBOS__VMID"], os.environ["DBOS__APPVERSION"]
orders, at_once, step_ms = (int(os.environ.get(key, default)) for key, default in (("ORDERS", 0), ("AT_ONCE", 5), ("STEP_MS", 300)))


def note(*words):
    with open(log, "a", encoding="utf-8") as file:
        file.write("\t".join([name, *words]) + "\n")


def act(order, step):
    note("begin", order, step)
    time.sleep(step_ms / 1000)
    note("end", order, step)
    return step


DBOS(config={"name": "orders", "system_database_url": uri, "log_level": "ERROR",
             "db_engine_kwargs": {"connect_args": {"application_name": f"orders_{name}_{version}"}}})


@DBOS.workflow(name="fulfil")
def fulfil(order):
    return " ".join(DBOS.run_step({"name": step}, act, order, step) for step in ("reserve", "charge", "pack", "ship"))


numbers, lock = iter(range(1, orders + 1)), threading.Lock()


def customer():
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            return
        with SetWorkflowID(f"{name}-{number}"):
            handle = DBOS.start_workflow(fulfil, f"{name}-{number}")
        note("started", f"{name}-{number}")
        handle.get_result()


DBOS.launch()
for _ in range(at_once):
    threading.Thread(target=customer, daemon=True).start()
note("ready")
signal.sigwait({signal.SIGTERM})
DBOS.destroy()
os._exit(0)
