"""What the programs on the official Python SDK share: the golden vectors, the configuration, and results that the calling script numbers."""

import json
import sys
import traceback
from pathlib import Path

from dbos import DBOS

golden = json.loads((Path(__file__).parent / "golden.json").read_text())
failures = 0


def configure(uri, application):
    DBOS(
        config={
            "name": application,
            "application_version": f"{application}-1",
            "system_database_url": uri.replace("postgresql:", "postgresql+psycopg:"),
            "log_level": "WARNING",
        }
    )


def check(name, body):
    """One line `ok - name` or `not ok - name`; what went wrong goes to stderr."""
    global failures
    try:
        body()
        print(f"ok - {name}", flush=True)
        return True
    except Exception:
        failures += 1
        print(f"not ok - {name}", flush=True)
        traceback.print_exc()
        return False


def equal(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def finish():
    """The exit status tells a crash (before this) from a failed check."""
    sys.exit(1 if failures else 0)
