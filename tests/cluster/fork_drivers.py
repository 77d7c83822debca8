"""Drivers that need not import everything anew: each line of input is a JSON list, a log file and the words of a verb.

Answers each line with the process id of a driver, and with its exit code when it is over, in lines of their own.
"""

import json
import os
import sys

import training.learning.recipe_file
import training.loop.going_live  # noqa: F401  # the verbs import as late as they can; here it is done before the fork
from cluster.cli.main import main


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


for line in sys.stdin:
    log, *words = json.loads(line)
    if pid := os.fork():
        say(pid)
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    else:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream.fileno())
        sys.argv = ["micromodels", *words]
        main()
