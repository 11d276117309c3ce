"""launch.py URI: lets the official Python SDK make or migrate its system database, and nothing else."""

import sys

from common import configure
from dbos import DBOS

configure(sys.argv[1], "launch")
DBOS.launch()
DBOS.destroy()
