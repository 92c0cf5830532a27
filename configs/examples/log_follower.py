#!/usr/bin/env python3
"""A subprocess tracer in Python, standard library only: tells each line that is added to a file.

It says something only when it is asked to (`event`), ends when it is told to (`stop`), when its input ends, and when it
has heard nothing for `patience` seconds: whoever started it is dead then.
"""
import json
import os
import select
import sys


def say(kind, payload):
    message = {"proto": "duetector", "version": "0.1.0", "type": kind, "payload": payload}
    # Bytes that are not UTF-8 go as lone surrogates; the agent makes bytes of them again.
    sys.stdout.write(json.dumps(message) + "\n")


class Follower:
    def __init__(self, file):
        self.file, self.place = file, os.path.getsize(file) if os.path.exists(file) else 0

    def tell(self):
        try:
            with open(self.file, "rb") as log:
                if os.fstat(log.fileno()).st_size < self.place:
                    self.place = 0  # Cut short, or another file of that name: from its beginning.
                log.seek(self.place)
                new = log.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]  # What comes after the last line end is not a line yet.
        self.place += len(whole)
        for line in whole.splitlines():
            say("event", {"fname": self.file, "line": line.decode(errors="surrogateescape")})


def main():
    follower, patience, rest = None, 10.0, b""
    # Read with `os.read`: `select` does not know of lines that a buffered reader has read ahead.
    while select.select([0], [], [], patience)[0]:
        chunk = os.read(0, 1 << 16)
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for message in map(json.loads, lines):
            if message["type"] == "init":
                config = message["payload"]["config"]
                follower, patience = Follower(config["file"]), config.get("patience", patience)
                say("init", {"name": "log_follower", "version": "1"})
            elif message["type"] == "event":
                follower.tell()
            elif message["type"] == "stop":
                follower.tell()
                return say("stopped", {})
        sys.stdout.flush()
    say("stopped", {})


if __name__ == "__main__":
    main()
