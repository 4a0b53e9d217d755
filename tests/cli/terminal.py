"""Runs a command on a terminal of so many columns; prints what it wrote, each piece after its milliseconds, as JSON.

    terminal.py COLUMNS COMMAND ARGUMENT..
"""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time

ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0))
begun = time.monotonic()
child = subprocess.Popen(sys.argv[2:], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
os.close(theirs)
pieces = []
while True:
    try:
        piece = os.read(ours, 65536)
    except OSError:
        # The last process that had the terminal has ended.
        break
    if not piece:
        break
    pieces.append([round((time.monotonic() - begun) * 1000), piece.decode("utf-8", "replace")])
print(json.dumps({"code": child.wait(), "pieces": pieces}))
