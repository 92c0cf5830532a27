"""Sends datagrams while another process changes their address, or their bytes, in memory that both share. Prints what arrived:
the ports of two receivers with their numbers of datagrams, and the names that were asked for, in order.
"""
import ctypes
import mmap
import os
import signal
import socket
import sys

COUNT, LIMIT = int(sys.argv[1]), 4000
libc = ctypes.CDLL(None, use_errno=True)
memory = mmap.mmap(-1, 4096)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
ADDRESS, BYTES, STARTED = 0, 256, 1024


def receiver(address):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
    one.bind(address)
    one.setblocking(False)
    return one


def taken(one):
    found = []
    try:
        while True:
            found.append(one.recv(100))
    except BlockingIOError:
        return found


def send(length):
    return libc.sendto(sender.fileno(), ctypes.c_void_p(at + BYTES), ctypes.c_size_t(length), 0, ctypes.c_void_p(at + ADDRESS), 16)


receivers = [receiver(("127.0.0.1", 0)) for _ in range(2)]
ports = [one.getsockname()[1].to_bytes(2, "big") for one in receivers]
memory[ADDRESS : ADDRESS + 8] = socket.AF_INET.to_bytes(2, sys.byteorder) + ports[0] + bytes([127, 0, 0, 1])


def change_port():
    memory[ADDRESS + 2 : ADDRESS + 4] = ports[1]
    memory[ADDRESS + 2 : ADDRESS + 4] = ports[0]


sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other = beside(change_port)
arrived = [0, 0]
for _ in range(LIMIT):
    send(8)
    arrived = [count + len(taken(one)) for count, one in zip(arrived, receivers)]
    if min(arrived) >= COUNT:
        break
stop(other)
for one, count in zip(receivers, arrived):
    print("to", one.getsockname()[1], count)

SERVER = "127.9.9.9"
server = receiver((SERVER, 53))
memory[ADDRESS + 2 : ADDRESS + 8] = (53).to_bytes(2, "big") + socket.inet_aton(SERVER)
NAMES = (b"a" * 30, b"b" * 30)
question = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\x1e%s\3org\0\0\1\0\1"
memory[BYTES : BYTES + len(question) + 28] = question % NAMES[0]


def change_name():
    memory[BYTES + 13 : BYTES + 43] = NAMES[1]
    memory[BYTES + 13 : BYTES + 43] = NAMES[0]


sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other = beside(change_name)
names = []
for _ in range(LIMIT):
    send(len(question) + 28)
    names += [one[13:43].decode() for one in taken(server)]
    if min(names.count(name.decode()) for name in NAMES) >= COUNT:
        break
stop(other)
for name in names:
    print("asked", name)
