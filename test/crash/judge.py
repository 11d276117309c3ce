"""The auditor itself: each kind of damage, done by hand to what a good run left, is found."""
from auditor import Audit
from lib import Worker, finished, read

PREFIX = "j1"

# What is damaged, how, and the invariant that has to speak. {log}: lines of the side-effect log.
DAMAGE = (
    ("a lost workflow", "DELETE FROM dbos.workflow_status WHERE workflow_uuid = 'j1-chain-0'", "I1"),
    ("a workflow that never ends", "UPDATE dbos.workflow_status SET status = 'PENDING', owner_xid = 'x' WHERE workflow_uuid = 'j1-chain-0'", "I15"),
    ("another input", "UPDATE dbos.workflow_input SET inputs = replace(inputs, 'chain', 'brain') WHERE workflow_uuid = 'j1-chain-0'", "I2"),
    ("another workflow under the id", "UPDATE dbos.workflow_status SET name = 'nap' WHERE workflow_uuid = 'j1-chain-0'", "I2"),
    ("a missing record", "DELETE FROM dbos.operation_outputs WHERE workflow_uuid = 'j1-chain-0' AND function_id = 1", "I3"),
    ("a record under another name", "UPDATE dbos.operation_outputs SET function_name = 'x' WHERE workflow_uuid = 'j1-chain-0' AND function_id = 1", "I3"),
    ("a result that nobody was told", "UPDATE dbos.workflow_output SET output = '\"other\"' WHERE workflow_uuid = 'j1-chain-0'", "I7"),
    ("a message that nobody read", "UPDATE dbos.notifications SET consumed = false WHERE destination_uuid = 'j1-family-2'", "I10"),
    ("a timer that is early", "UPDATE dbos.operation_outputs SET output = (output::bigint + 60000)::text WHERE workflow_uuid = 'j1-nap-1' AND function_id = 1", "I13"),
)


def judged(session, log, said):
    """The first words of the faults found."""
    audit = Audit(session, PREFIX, log, [said])
    try:
        audit.run()
    except AssertionError:
        pass
    except KeyError as missing:
        audit.faults.append(f"I1: no row of {missing}")
    return {fault.split(":")[0] for fault in audit.faults}


def finds_damage(server):
    """the auditor finds nothing in a good run, and each kind of damage done to one"""
    session = server.session()
    worker = Worker(server, "start", PREFIX, "j1.worker", "--count", 5, "--nap-ms", 100)
    worker.ends_well()
    finished(session, PREFIX)
    found = judged(session, worker.log, worker.said)
    assert not found, found
    for what, statement, wanted in DAMAGE:
        session.query(f"BEGIN; {statement}")
        found = judged(session, worker.log, worker.said)
        session.query("ROLLBACK")
        assert wanted in found, f"{what}: found {found}, wanted {wanted}"
    lines = read(worker.log).splitlines()
    first = next(line.split("\t") for line in lines if "\tj1-chain-0\t" in line)
    late = [*first[:7], "begin", str(int(first[8]) + 3600000000), first[9]]
    nothing = [line for line in lines if "\tj1-chain-0\t0\t" not in line]
    early = [*first[:6], "9", "begin", *first[8:]]
    for what, text, wanted in (("a body after its record", [*lines, "\t".join(late)], "I4"), ("a record without a body", nothing, "I5"),
                               ("an earlier execution after a later one", ["\t".join(early), *lines], "fencing")):
        with open(f"{worker.log}.damaged", "w", encoding="utf-8") as file:
            file.write("\n".join(text) + "\n")
        found = judged(session, f"{worker.log}.damaged", worker.said)
        assert wanted in found, f"{what}: found {found}, wanted {wanted}"
