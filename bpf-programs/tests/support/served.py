"""Calls on a file system that another process serves (FUSE), and that leads each search for a name to another file. The server
prints a line for each request that opens or changes a file: its name and the inode numbers of the files. The client prints a
line for its transfers: `bytes`, inode number, bytes that were read and written. The arguments are a folder and `names` or `bytes`.
"""
import ctypes, os, signal, stat, struct, sys, threading

folder, way = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
TIMES, DATA = 7, 900
FILE, DIR = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
WAITS, READ, WRITTEN = 77, 100, 20
LOOKUP, GETATTR, SETATTR, MKDIR, UNLINK, RENAME, OPEN, READS, WRITES, INIT = 1, 3, 4, 9, 10, 12, 14, 15, 16, 26
SILENT = (2, 42)  # FORGET and BATCH_FORGET have no answer
RELEASE = 18
assert libc.unshare(0x00020000) == 0 and libc.mount(None, b"/", None, 0x44000, None) == 0
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"none", folder.encode(), b"fuse", 0, options):
    sys.exit("mount: " + os.strerror(ctypes.get_errno()))
asked, goes_on = os.pipe(), os.pipe()


def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def attributes(node, mode):
    return struct.pack("<6Q10I", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


class Server:
    """Knows the modes of its nodes, and which one the last search for a name in a folder led to."""

    def __init__(self):
        self.modes, self.last, self.next, self.reads = {1: DIR, DATA: FILE}, {}, 1000, 0

    def made(self, mode):
        self.next += 1
        self.modes[self.next] = mode
        return self.next

    def entry(self, node):
        # No answer is valid for any time.
        return struct.pack("<4QII", node, 0, 0, 0, 0, 0) + attributes(node, self.modes[node])

    def answer(self, call, node, data):
        """Returns an error, and the answer's bytes."""
        names = data.split(b"\0")
        if call == INIT:
            return 0, struct.pack("<IIIIHHII", 7, 31, 0, 0, 0, 0, 4096, 1) + bytes(36)
        if call == LOOKUP:
            if names[0] == b"new":
                return -2, b""
            found = DATA if names[0] == b"data" else self.made(DIR if names[0] == b"dir" else FILE)
            self.last[node, names[0]] = found
            return 0, self.entry(found)
        if call == GETATTR:
            return 0, struct.pack("<QII", 0, 0, 0) + attributes(node, self.modes[node])
        if call == SETATTR:
            say("attr" if struct.unpack_from("<I", data)[0] & 1 else "truncate", node)
            return 0, struct.pack("<QII", 0, 0, 0) + attributes(node, self.modes[node])
        if call == MKDIR:
            child = self.made(DIR)
            say("mkdir", child)
            return 0, self.entry(child)
        if call == UNLINK:
            say("unlink", self.last[node, names[0]])
            return 0, b""
        if call == RENAME:
            to, (old, new) = struct.unpack_from("<Q", data)[0], data[8:].split(b"\0")[:2]
            say("rename", self.last[node, old], self.last[to, new])
            return 0, b""
        if call == OPEN:
            say("open", node)
            return 0, struct.pack("<QII", 0, 1, 0)  # FOPEN_DIRECT_IO
        if call == READS:
            self.reads += 1
            if self.reads == 1:
                return 0, bytes(READ)
            os.write(asked[1], b"x")
            os.read(goes_on[0], 1)
            return 0, bytes(WAITS)
        if call == WRITES:
            return 0, struct.pack("<II", WRITTEN, 0)
        return (0 if call == RELEASE else -38), b""

    def serve(self):
        while True:
            request = os.read(fuse, 1 << 17)
            _, call, unique, node = struct.unpack_from("<IIQQ", request)
            error, data = self.answer(call, node, request[40:])
            if call not in SILENT:
                os.write(fuse, struct.pack("<IiQ", 16 + len(data), error, unique) + data)


server = os.fork()
if server == 0:
    libc.prctl(1, signal.SIGKILL)
    Server().serve()
os.close(fuse)


def names():
    os.chdir(folder)
    for _ in range(TIMES):
        os.close(os.open("dir/file", os.O_RDONLY))
        os.chmod("dir/file", 0o600)
        os.truncate("dir/file", 3)
        os.rename("dir/file", "dir/other")
        os.unlink("dir/file")
        os.mkdir("dir/new")


def transfers():
    # The server knows no request FLUSH, which is sent at the first close only.
    os.close(os.open(os.path.join(folder, "data"), os.O_RDONLY))
    file = os.open(os.path.join(folder, "data"), os.O_RDWR)
    assert len(os.read(file, 4096)) == READ
    assert os.write(file, bytes(50)) == WRITTEN
    # Another thread puts another file behind the descriptor while the server lets a read wait.
    null = os.open("/dev/null", os.O_RDWR)

    def exchange():
        os.read(asked[0], 1)
        os.dup2(null, file)
        os.write(goes_on[1], b"x")

    thread = threading.Thread(target=exchange)
    thread.start()
    assert len(os.read(file, 4096)) == WAITS
    thread.join()
    say("bytes", DATA, READ, WRITTEN, WAITS)


{"names": names, "bytes": transfers}[way]()
os.kill(server, signal.SIGKILL)
os.waitpid(server, 0)
