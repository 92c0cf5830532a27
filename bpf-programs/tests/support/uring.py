"""Does each operation of a table 23 times as a system call and 23 times through io_uring: successful, failing, and
without permission, one after the other. The records of the two ways must be the same. Uses the kernel's own interface
only, because libraries are not what is tested.

The argument is a folder. Each line of input names a case, which is run in a process of its own (starting Python takes
longest); the answer is that process's id and exit status:

    CASE plain|async|sqpoll, or skip|skip_async|skip_sqpoll: without a completion if it succeeds; or full: its queue is full
    use NAME plain|async|sqpoll|fixed|skip|skip_async|skip_sqpoll|full
    slots
    multishot: one request with several results
    personal: with the rights of another user
    left: ends while no thread of the process is in the kernel; waits for a line of input
    reused: the same, and another request uses its memory
    closed: the same, and the ring is closed
    waits: opens a FIFO that nobody writes to; waits for a line of input
    flood: many requests without completions by another user, whose rings stay; waits for a line of input
"""
import ctypes
import fcntl
import mmap
import os
import socket
import struct
import sys
import time

TIMES = 23
UNKNOWN = 77  # exit status if the kernel does not have the operation
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
SETUP, ENTER, REGISTER = 425, 426, 427
SQPOLL, ASYNC, LINK, HARDLINK, FIXED, SKIP = 2, 16, 4, 8, 1, 64
NOP, LAST = 0, 77  # a request that does nothing, and the number that marks it
kept = {}


def call(number, *arguments):
    """Makes a system call; returns its result, or the negative errno."""
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    return result if result >= 0 else -ctypes.get_errno()


def text(name):
    """Returns the address of a text, which stays valid."""
    if name not in kept:
        kept[name] = ctypes.create_string_buffer(name.encode())
    return ctypes.addressof(kept[name])


class Ring:
    def __init__(self, flags=0, entries=64):
        params = bytearray(struct.pack("<IIIII", entries, 0, flags, 0, 1) + bytes(100))
        space = (ctypes.c_char * len(params)).from_buffer(params)
        self.fd = call(SETUP, entries, ctypes.addressof(space))
        if self.fd < 0:
            sys.exit(f"io_uring_setup: {os.strerror(-self.fd)}")
        (self.entries, cq_entries, self.flags) = struct.unpack_from("<III", params, 0)
        self.sq = struct.unpack_from("<IIIIIII", params, 40)
        self.cq = struct.unpack_from("<IIIIII", params, 80)
        size = max(self.sq[6] + self.entries * 4, self.cq[5] + cq_entries * 16)
        self.ring = mmap.mmap(self.fd, size, offset=0)
        self.sqes = mmap.mmap(self.fd, self.entries * 64, offset=0x10000000)

    def close(self):
        """Closes the ring: Python keeps descriptors of what it maps."""
        self.ring.close()
        self.sqes.close()
        os.close(self.fd)

    def word(self, at):
        return ctypes.c_uint32.from_buffer(self.ring, at).value

    def set(self, at, value):
        """Writes the value in one step: `struct` clears the bytes first, which a polling thread would see."""
        ctypes.c_uint32.from_buffer(self.ring, at).value = value

    def push(self, *entries):
        """Adds these requests at once, so that a polling thread sees a chain as a whole."""
        tail = self.word(self.sq[1])
        for entry in entries:
            index = tail & self.word(self.sq[2])
            self.sqes[index * 64 : index * 64 + 64] = entry
            self.set(self.sq[6] + index * 4, index)
            tail = (tail + 1) & 0xFFFFFFFF
        self.set(self.sq[1], tail)

    def run(self, *entries):
        """Results of these requests, in the order they came in."""
        for entry in entries:
            self.push(entry)
        results = []
        to_submit, wake = len(entries), 2 if self.flags & SQPOLL else 0
        while len(results) < len(entries):
            done = call(ENTER, self.fd, to_submit, 1, 1 | wake, 0, 0)
            if done < 0 and done != -4:
                sys.exit(f"io_uring_enter: {os.strerror(-done)}")
            to_submit = 0
            results += self.reap()
        return results

    def run_as(self, mode, entry):
        """Result of this request in one of the modes; 0 if it succeeded without a completion."""
        entry = entry[:1] + bytes([entry[1] | (ASYNC if mode.endswith("async") else 0)]) + entry[2:]
        if mode == "full":
            return self.run_full(entry)
        if not mode.startswith("skip"):
            return self.run(entry)[0]
        # The one behind it begins when it has ended.
        self.push(entry[:1] + bytes([entry[1] | SKIP | HARDLINK]) + entry[2:], sqe(NOP, user=LAST))
        to_submit, wake, result, done = 2, 2 if self.flags & SQPOLL else 0, 0, False
        while not done:
            call(ENTER, self.fd, to_submit, 1, 1 | wake, 0, 0)
            to_submit = 0
            for user, res in self.completions():
                done, result = (True, result) if user == LAST else (done, res)
        if wake:
            # When this one is done, the ends of what the polling thread did before have been looked for.
            self.run(sqe(NOP))
        return result

    def run_full(self, entry):
        """Result of a request whose completion finds no room in the queue."""
        for _ in range(2):
            self.push(sqe(NOP, user=LAST))
            call(ENTER, self.fd, 1, 0, 0, 0, 0)
        self.push(entry)
        call(ENTER, self.fd, 1, 0, 0, 0, 0)
        while not self.word(self.sq[4]) & 2:  # IORING_SQ_CQ_OVERFLOW
            os.sched_yield()
        self.reap()
        call(ENTER, self.fd, 0, 1, 1, 0, 0)
        return self.reap()[0]

    def reap(self):
        return [res for _, res in self.completions()]

    def completions(self):
        found = []
        while (head := self.word(self.cq[0])) != self.word(self.cq[1]):
            at = self.cq[5] + (head & self.word(self.cq[2])) * 16
            found.append(struct.unpack_from("<Qi", self.ring, at))
            self.set(self.cq[0], (head + 1) & 0xFFFFFFFF)
        return found

    def knows(self, op):
        """Returns whether the kernel has the operation."""
        probe = ctypes.create_string_buffer(16 + 256 * 8)
        call(REGISTER, self.fd, 8, ctypes.addressof(probe), 256)
        return op <= probe.raw[0]

    def files(self, *descriptors):
        """Registers the ring's own table of files."""
        table = struct.pack(f"<{len(descriptors)}i", *descriptors)
        done = call(REGISTER, self.fd, 2, text_of(table), len(descriptors))
        if done < 0:
            sys.exit(f"io_uring_register: {os.strerror(-done)}")


def text_of(data):
    if data not in kept:
        kept[data] = ctypes.create_string_buffer(data, len(data))
    return ctypes.addressof(kept[data])


def sqe(op, fd=-1, off=0, addr=0, len=0, rw=0, flags=0, ioprio=0, index=0, addr3=0, user=1):
    mask = 0xFFFFFFFFFFFFFFFF
    return struct.pack(
        "<BBHiQQIIQHHIQQ", op, flags, ioprio, fd, off & mask, addr & mask, len & 0xFFFFFFFF, rw, user, 0, 0, index, addr3, 0
    )


def touch(name):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))


def gone(name):
    if os.path.isdir(name):
        os.rmdir(name)
    elif os.path.lexists(name):
        os.unlink(name)


def folder(name):
    if not os.path.isdir(name):
        os.mkdir(name)


HERE = -100
T = text
HOW = {True: text_of(struct.pack("<QQQ", 0o102, 0o640, 0)), False: text_of(struct.pack("<QQQ", 0, 0, 0))}


ABORTS = struct.pack("ii", 1, 0)  # SO_LINGER: leaves no TIME_WAIT on the port


def stream():
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORTS)
    return made


def address(port, host=(127, 0, 0, 1)):
    return text_of(struct.pack("<H", 2) + struct.pack(">H", port) + bytes(host) + bytes(8))


def datagrams(port=0):
    """Binds a UDP socket; waits for the port, which a ring may hold for a moment after its answer."""
    made, end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), time.monotonic() + 10
    while True:
        try:
            made.bind(("127.0.0.1", port))
            return made
        except OSError:
            if time.monotonic() > end:
                raise
            os.sched_yield()


class Net:
    """Holds a listening socket, sockets that can be made to listen, and fixed ports."""

    def __init__(self):
        self.listener, spare, closed = stream(), stream(), stream()
        for each in (self.listener, spare, closed):
            each.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.port, self.own = self.listener.getsockname()[1], spare.getsockname()[1]
        self.local = socket.socket(socket.AF_UNIX)
        shut = text_of(struct.pack("<H14s", 1, b"shut.sock"))
        self.to = {True: address(self.port), False: address(closed.getsockname()[1]), None: shut}
        spare.close()
        closed.close()
        self.bindable = {True: address(self.own), False: address(self.port), None: address(1)}
        self.client, self.udp = stream(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.server, self.sender, self.refused, closed = (datagrams() for _ in range(4))
        self.unheard = closed.getsockname()
        closed.close()

    def fresh(self, bound=True):
        """Makes a client on the same port as the last one; closes what was connected."""
        self.client.close()
        self.listener.setblocking(False)
        while (taken := call(43, self.listener.fileno(), 0, 0)) >= 0:
            os.close(taken)
        self.listener.setblocking(True)
        self.client = stream()
        if bound:
            self.client.bind(("127.0.0.1", self.own))

    def calling(self):
        self.fresh()
        self.client.connect(("127.0.0.1", self.port))

    def fd(self):
        return self.client.fileno()

    def caller(self, good):
        return self.local.fileno() if good is None else self.fd()

    def flow(self):
        """Makes a sender with a datagram to read, and one with a refused datagram, on the same ports as before."""
        for name, to in (("sender", self.server.getsockname()), ("refused", self.unheard)):
            port = getattr(self, name).getsockname()[1]
            getattr(self, name).close()
            setattr(self, name, datagrams(port))
            getattr(self, name).connect(to)
        self.server.sendto(b"abc", self.sender.getsockname())
        try:
            self.refused.send(b"abc")
        except ConnectionRefusedError:  # of a datagram that the last socket sent through a ring
            self.refused.send(b"abc")

    def socket_of(self, good):
        return (self.sender if good else self.refused).fileno()

    def target(self, good, port=None):
        """Returns the server's address, or a broadcast address, which needs a socket option."""
        return address(port or self.server.getsockname()[1], (127, 0, 0, 1) if good else (255, 255, 255, 255))

    def message(self, good, port=None):
        return text_of(struct.pack("<QQQQQQQ", self.target(good, port), 16, IOV, 2, 0, 0, 0))


def opened(result):
    if result >= 0:
        os.close(result)


BUF = text_of(bytes(4096))
# A question for the address of a.one, in two pieces.
QUERY = bytes([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 97, 3, 111, 110, 101, 0, 0, 28, 0, 1])
ASK = text_of(QUERY)
IOV = text_of(struct.pack("<QQQQ", ASK, 14, ASK + 14, len(QUERY) - 14))
INTO = text_of(struct.pack("<QQQQ", BUF, 7, BUF, 5))
MSGIN = text_of(struct.pack("<QQQQQQQ", 0, 0, INTO, 2, 0, 0, 0))

def held(good):
    return SEALED if good is None else F


# For each case: preparation; the system call; the request. Call and request get whether they are to succeed, or
# `None` if a user without permission tries, where that depends on more than the user.
CASES = {
    "openat": (
        lambda: None,
        lambda good: opened(call(257, D, T("new" if good else "no/new"), 0o102, 0o640)),
        lambda good: sqe(18, D, addr=T("new" if good else "no/new"), len=0o640, rw=0o102),
    ),
    "openat2": (
        lambda: None,
        lambda good: opened(call(437, HERE, T("held" if good else "nothing"), HOW[good], 24)),
        lambda good: sqe(28, HERE, addr=T("held" if good else "nothing"), off=HOW[good], len=24),
    ),
    "renameat2": (
        lambda: (touch("a"), gone("b")),
        lambda good: call(316, D, T("a"), HERE, T("b"), 1 if good else 16),
        lambda good: sqe(35, D, addr=T("a"), len=HERE, off=T("b"), rw=1 if good else 16),
    ),
    "unlinkat": (
        lambda: folder("e"),
        lambda good: call(263, D, T("e"), 0x200 if good else 0),
        lambda good: sqe(36, D, addr=T("e"), rw=0x200 if good else 0),
    ),
    "mkdirat": (
        lambda: gone("e"),
        lambda good: call(258, D, T("e" if good else "held"), 0o700),
        lambda good: sqe(37, D, addr=T("e" if good else "held"), len=0o700),
    ),
    "symlinkat": (
        lambda: gone("b"),
        lambda good: call(266, T("to/nowhere"), D, T("b" if good else "held")),
        lambda good: sqe(38, D, addr=T("to/nowhere"), off=T("b" if good else "held")),
    ),
    "linkat": (
        lambda: gone("b"),
        lambda good: call(265, D, T("held" if good else "no"), HERE, T("b"), 0x400),
        lambda good: sqe(39, D, addr=T("held" if good else "no"), len=HERE, off=T("b"), rw=0x400),
    ),
    "fallocate": (
        lambda: None,
        lambda good: call(285, held(good), 1, 5, -1 if good is False else 77),
        lambda good: sqe(17, held(good), off=5, addr=-1 if good is False else 77, len=1),
    ),
    "ftruncate": (
        lambda: None,
        lambda good: call(77, 999 if good is False else held(good), 3),
        lambda good: sqe(55, 999 if good is False else held(good), off=3),
    ),
    "fsetxattr": (
        lambda: None,
        lambda good: call(190, F, T("trusted.x"), T("vv"), 2, 0 if good else 1),
        lambda good: sqe(41, F, addr=T("trusted.x"), off=T("vv"), len=2, rw=0 if good else 1),
    ),
    "connect": (
        lambda: NET.fresh(),
        lambda good: call(42, NET.caller(good), NET.to[good], 16),
        lambda good: sqe(16, NET.caller(good), addr=NET.to[good], off=16),
    ),
    "accept4": (
        lambda: NET.calling(),
        lambda good: opened(call(288, NET.listener.fileno() if good else NET.fd(), 0, 0, 0)),
        lambda good: sqe(13, NET.listener.fileno() if good else NET.fd()),
    ),
    "bind": (
        lambda: NET.fresh(False),
        lambda good: call(49, NET.fd(), NET.bindable[good], 16),
        lambda good: sqe(56, NET.fd(), addr=NET.bindable[good], off=16),
    ),
    "listen": (
        lambda: NET.fresh(),
        lambda good: call(50, NET.fd() if good else NET.udp.fileno(), 7),
        lambda good: sqe(57, NET.fd() if good else NET.udp.fileno(), len=7),
    ),
    "sendto": (
        lambda: NET.flow(),
        lambda good: call(44, NET.socket_of(True), BUF, 5, 0, NET.target(good), 16),
        lambda good: sqe(26, NET.socket_of(True), addr=BUF, len=5, off=NET.target(good), index=16),
    ),
    "sendmsg": (
        lambda: NET.flow(),
        lambda good: call(46, NET.socket_of(True), NET.message(good), 0),
        lambda good: sqe(9, NET.socket_of(True), addr=NET.message(good), len=1),
    ),
    "write": (
        lambda: NET.flow(),
        lambda good: call(1, NET.socket_of(good), BUF, 5),
        lambda good: sqe(23, NET.socket_of(good), addr=BUF, len=5),
    ),
    "writev": (
        lambda: NET.flow(),
        lambda good: call(20, NET.socket_of(good), IOV, 2),
        lambda good: sqe(2, NET.socket_of(good), addr=IOV, len=2),
    ),
    "recvfrom": (
        lambda: NET.flow(),
        lambda good: call(45, NET.socket_of(good), BUF, 5, 0, 0, 0),
        lambda good: sqe(27, NET.socket_of(good), addr=BUF, len=5),
    ),
    "recvmsg": (
        lambda: NET.flow(),
        lambda good: call(47, NET.socket_of(good), MSGIN, 0),
        lambda good: sqe(10, NET.socket_of(good), addr=MSGIN, len=1),
    ),
    "read": (
        lambda: NET.flow(),
        lambda good: call(0, NET.socket_of(good), BUF, 5),
        lambda good: sqe(22, NET.socket_of(good), addr=BUF, len=5),
    ),
    "readv": (
        lambda: NET.flow(),
        lambda good: call(19, NET.socket_of(good), INTO, 2),
        lambda good: sqe(1, NET.socket_of(good), addr=INTO, len=2),
    ),
    "dns_sendto": (
        lambda: NET.flow(),
        lambda good: call(44, NET.socket_of(True), ASK, len(QUERY), 0, NET.target(good, 53), 16),
        lambda good: sqe(26, NET.socket_of(True), addr=ASK, len=len(QUERY), off=NET.target(good, 53), index=16),
    ),
    "dns_sendmsg": (
        lambda: NET.flow(),
        lambda good: call(46, NET.socket_of(True), NET.message(good, 53), 0),
        lambda good: sqe(9, NET.socket_of(True), addr=NET.message(good, 53), len=1),
    ),
    "setxattr": (
        lambda: None,
        lambda good: call(188, T("held" if good else "no"), T("trusted.x"), T("vv"), 2, 0),
        lambda good: sqe(42, addr=T("trusted.x"), off=T("vv"), len=2, addr3=T("held" if good else "no")),
    ),
}


WHOLE = text_of(struct.pack("<QQ", BUF, 4096))
AS_IT_IS = 0xFFFFFFFFFFFFFFFF

# Requests that move bytes, by the indices of their files in `FILES`: held, other, a pipe, a pair of sockets.
USES = {
    "read": [dict(op=22, fd=0, addr=BUF, len=100)],
    "readv": [dict(op=1, fd=0, off=3, addr=INTO, len=2)],
    "read_fixed": [dict(op=4, fd=0, off=950, addr=BUF, len=100)],
    "write": [dict(op=23, fd=0, addr=BUF, len=9)],
    "writev": [dict(op=2, fd=0, off=3, addr=INTO, len=2)],
    "write_fixed": [dict(op=5, fd=1, addr=BUF, len=77)],
    "splice": [
        dict(op=30, fd=3, off=AS_IT_IS, addr=0, len=50, source=0),
        dict(op=30, fd=1, off=0, addr=AS_IT_IS, len=50, source=2),
    ],
    "send": [dict(op=26, fd=4, addr=BUF, len=33), dict(op=27, fd=5, addr=BUF, len=100)],
    "sendmsg": [dict(op=9, fd=4, addr=MSGIN, len=1), dict(op=10, fd=5, addr=MSGIN, len=1)],
    "peek": [
        dict(op=26, fd=4, addr=BUF, len=33),
        dict(op=27, fd=5, addr=BUF, len=100, rw=2),
        dict(op=10, fd=5, addr=MSGIN, len=1, rw=2),
        dict(op=27, fd=5, addr=BUF, len=100),
    ],
    "nothing": [dict(op=22, fd=0, off=1000, addr=BUF, len=100)],
    "bad": [dict(op=22, fd=None, addr=BUF, len=100), dict(op=23, fd=None, addr=BUF, len=100)],
}


NOBODY = 9999
# Cases in which permission does not depend on the user: sealed memory, write permission on a socket, a port.
OTHERWISE = ("fallocate", "ftruncate", "connect", "bind")
# Cases that need no permission beyond the descriptor.
MAY = ("accept4", "listen", "sendto", "sendmsg", "write", "writev", "recvfrom",
       "recvmsg", "read", "readv", "dns_sendto", "dns_sendmsg")


def as_user(user, what):
    os.seteuid(user)
    result = what()
    os.seteuid(0)
    return result


def pairs(case, mode):
    before, by_call, by_request = CASES[case]
    # A polling thread acts as the user that made the ring.
    kind, entries = SQPOLL if mode.endswith("sqpoll") else 0, 1 if mode == "full" else 64
    rings = {0: Ring(kind, entries), NOBODY: as_user(NOBODY, lambda: Ring(kind, entries))}
    if not rings[0].knows(by_request(True)[0]):
        sys.exit(UNKNOWN)
    variants = [(True, 0), (False, 0), (None if case in OTHERWISE else True, NOBODY)]
    for _ in range(TIMES):
        for good, user in variants[: 2 if case in MAY else 3]:
            before()
            as_user(user, lambda: by_call(good))
            before()
            entry = by_request(good)
            result = as_user(user, lambda: rings[user].run_as(mode, entry))
            if not mode.startswith("skip") and case.startswith(("open", "accept")):
                opened(result)


def uses(name, mode):
    ring = Ring(SQPOLL if mode.endswith("sqpoll") else 0, 1 if mode == "full" else 64)
    other, (r, w), (a, b) = os.open("other", os.O_RDWR), os.pipe(), socket.socketpair()
    files = [F, other, r, w, a.fileno(), b.fileno()]
    if mode == "fixed":
        ring.files(*files)
    if call(REGISTER, ring.fd, 0, WHOLE, 1) < 0:
        sys.exit("io_uring_register of a buffer")
    for _ in range(TIMES):
        for use in USES[name]:
            use, source = dict(use), use.get("source")
            use.setdefault("rw", 0)
            index = use["fd"]
            use["fd"] = 999 if index is None else index if mode == "fixed" else files[index]
            if source is not None:
                del use["source"]
                use["index"], use["rw"] = (source, 1 << 31) if mode == "fixed" else (files[source], 0)
            result = ring.run_as(mode, sqe(**use, flags=FIXED if mode == "fixed" else 0))
            if (result < 0) != (index is None):
                sys.exit(f"{name}: {result}")


def slots():
    """Opens a file into the ring's table; a linked request then uses it."""
    ring = Ring()
    ring.files(-1, -1)
    for _ in range(TIMES):
        done = ring.run(
            sqe(18, D, addr=T("held"), rw=2, flags=LINK, index=2),
            sqe(17, 1, off=5, addr=77, len=1, flags=FIXED),
        )
        if done != [0, 0]:
            sys.exit(f"slots: {done}")


def unseen(then):
    """Reads from a pipe and makes a folder, by requests whose ends are not looked for; then goes on."""
    (first, second), (r, w) = (Ring(), Ring()), os.pipe()
    first.push(sqe(22, r, addr=BUF, len=3, flags=SKIP | HARDLINK))
    first.push(sqe(37, HERE, addr=T("unseen"), len=0o700, flags=SKIP))
    call(ENTER, first.fd, 2, 0, 0, 0, 0)
    # A request of another ring, whose end is looked for instead.
    second.push(sqe(37, HERE, addr=T("other"), len=0o700, flags=SKIP | HARDLINK))
    second.push(sqe(NOP, user=LAST))
    call(ENTER, second.fd, 2, 1, 1, 0, 0)
    os.write(w, b"abc")
    while not os.path.isdir("unseen"):
        os.sched_yield()
    then(first)


def waits(then):
    """Opens a FIFO that nobody writes to."""
    ring = Ring()
    os.mkfifo("fifo")
    ring.push(sqe(18, HERE, addr=T("fifo"), flags=SKIP | ASYNC))
    call(ENTER, ring.fd, 1, 0, 0, 0, 0)
    then(ring)


def multishot():
    """Accepts three connections by one request, which then fails."""
    ring, listener, clients = Ring(), stream(), []
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    ring.push(sqe(13, listener.fileno(), ioprio=1))
    call(ENTER, ring.fd, 1, 0, 0, 0, 0)
    for _ in range(3):
        clients.append(stream())
        clients[-1].connect(listener.getsockname())
        call(ENTER, ring.fd, 0, 1, 1, 0, 0)
        if ring.reap()[0] < 0:
            sys.exit("multishot")
    listener.shutdown(socket.SHUT_RDWR)
    call(ENTER, ring.fd, 0, 1, 1, 0, 0)
    if ring.reap() != [-22]:
        sys.exit("multishot: no last result")


def personal():
    """Makes a file by the rights of another user, whose credentials the ring knows."""
    ring = Ring()
    number = as_user(NOBODY, lambda: call(REGISTER, ring.fd, 9, 0, 0))
    os.mkdir("theirs")
    os.chmod("theirs", 0o777)
    entry = bytearray(sqe(18, HERE, addr=T("theirs/personal"), len=0o600, rw=0o101))
    struct.pack_into("<H", entry, 42, number)
    opened(ring.run(bytes(entry))[0])
    if os.stat("theirs/personal").st_uid != NOBODY:
        sys.exit("personal")


def next_line(_):
    print("ready", os.getpid(), flush=True)
    sys.stdin.readline()


def flood():
    rings, other = [Ring() for _ in range(80)], Ring()
    free = os.dup(0)
    os.close(free)
    os.seteuid(NOBODY)
    for ring in rings:
        for _ in range(63):
            ring.push(sqe(18, HERE, addr=T("/"), flags=SKIP | ASYNC))
        call(ENTER, ring.fd, 63, 0, 0, 0, 0)
        other.push(sqe(18, HERE, addr=T("/"), flags=SKIP | HARDLINK))
        other.push(sqe(NOP, user=LAST))
        call(ENTER, other.fd, 2, 1, 1, 0, 0)
        other.reap()
        os.closerange(free, free + 200)
    next_line(None)


def do(words):
    global D, F, NET, SEALED
    SEALED = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(SEALED, 1033, 2 | 4 | 8)  # F_ADD_SEALS: no change of size or content
    D = os.open(".", os.O_PATH | os.O_DIRECTORY)
    F = os.open("held", os.O_RDWR)
    NET = Net()
    other = {
        "use": lambda: uses(*words[1:]),
        "slots": slots,
        "multishot": multishot,
        "personal": personal,
        "left": lambda: unseen(next_line),
        "reused": lambda: unseen(lambda ring: ring.run(*[sqe(NOP)] * 8)),
        "closed": lambda: unseen(lambda ring: (ring.close(), next_line(ring))),
        "waits": lambda: waits(next_line),
        "flood": flood,
    }
    other.get(words[0], lambda: pairs(*words))()


os.chdir(sys.argv[1])
# Connecting needs write permission on the socket.
SHUT = socket.socket(socket.AF_UNIX)
SHUT.bind("shut.sock")
for line in sys.stdin:
    child = os.fork()
    if not child:
        do(line.split())
        sys.exit()
    print(child, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
