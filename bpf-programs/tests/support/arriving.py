"""Receives datagrams while another thread puts another socket behind the descriptor, or while another process changes the
address and the bytes in memory that both share. Prints for each socket that received: its inode number, the port that the
datagrams came from, and their number; and the names that were answered, in order.
"""
import ctypes
import mmap
import os
import signal
import socket
import sys
import threading

COUNT = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
memory = mmap.mmap(-1, 8192)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
ADDRESS, LENGTH, BYTES, VECTOR, MESSAGE, STARTED = 0, 128, 256, 2048, 2112, 4096


def word(offset, *values):
    for i, value in enumerate(values):
        memory[offset + 8 * i : offset + 8 * i + 8] = value.to_bytes(8, "little")


def prepare():
    word(VECTOR, at + BYTES, 1000)
    # struct msghdr; of recvmmsg the length follows.
    word(MESSAGE, at + ADDRESS, 128, at + VECTOR, 1, 0, 0, 0, 0)
    word(LENGTH, 128)


CALLS = {
    "recvfrom": (45, at + BYTES, 1000, 0, at + ADDRESS, at + LENGTH),
    "recvmsg": (47, at + MESSAGE, 0),
    "recvmmsg": (299, at + MESSAGE, 1, 0, 0),
}


def receive(fd, call):
    prepare()
    number, *arguments = CALLS[call]
    return libc.syscall(number, fd, *(ctypes.c_void_p(argument) for argument in arguments))


def bound(family, address):
    one = socket.socket(family, socket.SOCK_DGRAM)
    one.bind(address)
    return one


def waits(thread, number):
    with open(f"/proc/self/task/{thread.native_id}/syscall") as file:
        call = file.read().split()[0]
    with open(f"/proc/self/task/{thread.native_id}/stat") as file:
        return call == str(number) and file.read().rsplit(") ", 1)[1][0] == "S"


def moved(call, family, host):
    """Another thread puts another socket behind the descriptor while the call waits."""
    near, far, decoy = (bound(family, (host, 0)) for _ in range(3))
    ino = os.fstat(near.fileno()).st_ino
    thread = threading.Thread(target=lambda: receive(near.fileno(), call))
    thread.start()
    while not waits(thread, CALLS[call][0]):
        os.sched_yield()
    to = near.getsockname()
    # The kernel keeps the socket while the call waits.
    os.dup2(decoy.fileno(), near.fileno())
    far.sendto(b"datagram", to)
    thread.join()
    print("moved", ino, far.getsockname()[1], 1)
    held.extend((near, far, decoy))


def changed(call):
    """Another process changes the port in the caller's memory."""
    near, far = (bound(socket.AF_INET, ("127.0.0.1", 0)) for _ in range(2))

    def change():
        memory[ADDRESS + 2 : ADDRESS + 4] = b"\x77\x77"

    other = beside(change)
    for _ in range(COUNT):
        far.sendto(b"datagram", near.getsockname())
        receive(near.fileno(), call)
    stop(other)
    print("changed", os.fstat(near.fileno()).st_ino, far.getsockname()[1], COUNT)
    held.extend((near, far))


def answers():
    """Another process changes the name that a name server's answer is about."""
    server = bound(socket.AF_INET, ("127.9.9.10", 53))
    client = bound(socket.AF_INET, ("127.0.0.1", 0))
    answer = b"\x12\x34\x81\x80\0\1\0\0\0\0\0\0\x1e%s\3org\0\0\1\0\1" % (b"a" * 30)

    def change():
        memory[BYTES + 13 : BYTES + 43] = b"b" * 30

    other = beside(change)
    for _ in range(COUNT):
        server.sendto(answer, client.getsockname())
        receive(client.fileno(), "recvfrom")
    stop(other)
    print("answered", os.fstat(client.fileno()).st_ino, 53, COUNT)
    held.extend((server, client))


held = []
for call in CALLS:
    moved(call, socket.AF_INET, "127.0.0.1")
    moved(call, socket.AF_INET6, "::1")
    changed(call)
answers()
