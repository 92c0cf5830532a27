"""A child in Python duetector's own words: its message classes, on stdin and stdout, as its documentation has it.

Arguments: how many events to send. The published package ships no child that a host could run.
"""

import os
import sys

from duetector.proto.subprocess import EventMessage, InitMessage, StoppedMessage, dispatch_message


def say(message):
    print(message.model_dump_json(), flush=True)


def hear(line):
    # `stop` is the one message of a host's that duetector's own dispatcher does not know.
    return "stop" if '"type":"stop"' in line else dispatch_message(line).type


def main(left):
    assert hear(sys.stdin.readline()) == "init"
    say(InitMessage.from_subprocess({"name": "dummy", "version": "0.1.0"}))
    for line in sys.stdin:
        if hear(line) == "stop":
            break
        if left > 0:
            left -= 1
            say(EventMessage.from_subprocess({"pid": os.getpid(), "comm": "dummy", "extra": "nothing", "left": left}))
    say(StoppedMessage())


main(int(sys.argv[1]))
