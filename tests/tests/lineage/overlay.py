"""Moves contents through files of an overlay, seen from above and in their layers. Runs as root in a mount namespace of its own; what
is recorded is done by the user whose number is the argument.
"""
import json, os, subprocess, sys, traceback

uid, folder = int(sys.argv[1]), os.getcwd()


def run(work):
    child = os.fork()
    if not child:
        try:
            os.setgid(uid)
            os.setuid(uid)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def read(path):
    fd = os.open(path, os.O_RDONLY)
    data = os.read(fd, 1 << 20)
    os.close(fd)
    return data


def write(path, data, flags=os.O_CREAT):
    fd = os.open(path, os.O_WRONLY | flags, 0o600)
    assert os.write(fd, data) == len(data)
    os.close(fd)


subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0777", "none", folder], check=True)
os.chdir(folder)
for name in ("lower", "upper", "work", "merged"):
    os.mkdir(name)
    os.chmod(name, 0o777)
path = lambda name: os.path.join(folder, name)
for name in ("below.source", "above.source", "other.source"):
    write(path(name), os.urandom(5000))
    os.chown(name, uid, uid)
run(lambda: write(path("lower/first"), read(path("below.source"))))
run(lambda: write(path("lower/second"), b"old"))
options = "lowerdir=lower,upperdir=upper,workdir=work"
subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", path("merged")], check=True)
# What is in a lower layer is read from above.
run(lambda: write(path("below.target"), read(path("merged/first"))))
# What is written from above is copied up, and read in the upper layer; the lower one does not have it.
run(lambda: write(path("merged/second"), read(path("above.source")), os.O_APPEND))
run(lambda: write(path("above.target"), read(path("upper/second"))))
run(lambda: write(path("other.target"), read(path("lower/second"))))
ways = [("below", "below", True), ("above", "above", True), ("above", "other", False)]
for source, target, is_true in ways:
    names = {"source": path(source + ".source"), "target": path(target + ".target")}
    print(json.dumps({"way": f"overlay, {source} to {target}", **names, "is_true": is_true}))
