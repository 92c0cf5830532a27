#!/usr/bin/env python3
"""A subprocess tracer in Python, standard library only: reports each line that is added to a file.

The program writes only when asked to (`event`). It ends on `stop`, at the end of its input, and after `patience` seconds
without a message: the agent that started it has then crashed.
"""
import json
import os
import select
import sys


def say(kind, payload):
    message = {"proto": "duetector", "version": "0.1.0", "type": kind, "payload": payload}
    # Bytes that are not UTF-8 are sent as lone surrogates; the agent converts them back to bytes.
    sys.stdout.write(json.dumps(message) + "\n")


class Follower:
    def __init__(self, file):
        self.file, self.offset = file, os.path.getsize(file) if os.path.exists(file) else 0

    def report(self):
        try:
            with open(self.file, "rb") as log:
                if os.fstat(log.fileno()).st_size < self.offset:
                    self.offset = 0  # Truncated, or replaced by another file: read from its beginning.
                log.seek(self.offset)
                new = log.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]  # Bytes after the last line end are not a line yet.
        self.offset += len(whole)
        for line in whole.splitlines():
            say("event", {"fname": self.file, "line": line.decode(errors="surrogateescape")})


def main():
    follower, patience, rest = None, 10.0, b""
    # `os.read`, because `select` does not know of lines that a buffered reader has already read.
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
                follower.report()
            elif message["type"] == "stop":
                follower.report()
                return say("stopped", {})
        sys.stdout.flush()
    say("stopped", {})


if __name__ == "__main__":
    main()
