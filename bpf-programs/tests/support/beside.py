"""Another process that changes memory which both share. Precedes the programs that use it, which define `memory`, `libc` and
STARTED.
"""
import os
import signal


def beside(work):
    """Runs a function again and again in another process, which has begun to when this returns."""
    memory[STARTED] = 0
    child = os.fork()
    if child:
        while not memory[STARTED]:
            os.sched_yield()
        return child
    libc.prctl(1, signal.SIGKILL)
    while True:
        work()
        memory[STARTED] = 1


def stop(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


