"""Runs a program and prints what it took, as JSON: wall and CPU seconds (user and system), and its peak memory.

    measure.py LOG PROGRAM ARGUMENT..

Its output goes to LOG. Children that it waits for are counted with it.
"""

import json
import os
import resource
import subprocess
import sys
import time

log, *command = sys.argv[1:]
begin = time.monotonic()
with open(log, "wb") as output:
    code = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT).wait()
wall = time.monotonic() - begin
used = resource.getrusage(resource.RUSAGE_CHILDREN)
json.dump(
    {
        "code": code,
        "wall_s": wall,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
        "load": os.getloadavg()[0],
    },
    sys.stdout,
)
