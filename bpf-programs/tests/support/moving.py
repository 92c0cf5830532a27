"""Transfers that wait while another thread puts another file behind their descriptor. Prints a line for each: its name, device
and inode number of the file behind the descriptor first, then of the other one, and the bytes that were moved.
"""
import ctypes
import os
import socket
import sys
import threading

os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
SIZE = 100_000
room = ctypes.create_string_buffer(SIZE)


class Vector(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class Message(ctypes.Structure):
    _fields_ = [("name", ctypes.c_void_p), ("name_size", ctypes.c_uint), ("vectors", ctypes.c_void_p), ("count", ctypes.c_size_t)]
    _fields_ += [("control", ctypes.c_void_p), ("control_size", ctypes.c_size_t), ("flags", ctypes.c_int)]


vector = Vector(ctypes.addressof(room), SIZE)
message = Message(None, 0, ctypes.addressof(vector), 1, None, 0, 0)
CALLS = {
    "read": (0, ctypes.byref(room), SIZE),
    "readv": (19, ctypes.byref(vector), 1),
    "recvfrom": (45, ctypes.byref(room), SIZE, 0, None, None),
    "recvmsg": (47, ctypes.byref(message), 0),
    "sendto": (44, ctypes.byref(room), SIZE, 0, None, 0),
}


def waits(thread, number):
    with open(f"/proc/self/task/{thread.native_id}/syscall") as file:
        call = file.read().split()[0]
    with open(f"/proc/self/task/{thread.native_id}/stat") as file:
        return call == str(number) and file.read().rsplit(") ", 1)[1][0] == "S"


def race(name, call, fd, end):
    decoy = os.open(name, os.O_RDWR | os.O_CREAT)
    of, instead = os.fstat(fd), os.fstat(decoy)
    number, *arguments = CALLS[call]
    moved = []
    thread = threading.Thread(target=lambda: moved.append(libc.syscall(number, fd, *arguments)))
    thread.start()
    while not waits(thread, number):
        os.sched_yield()
    os.dup2(decoy, fd)
    end()
    thread.join()
    print(name, of.st_dev, of.st_ino, instead.st_dev, instead.st_ino, moved[0])


for call in ("read", "readv", "recvfrom", "recvmsg"):
    near, far = socket.socketpair()
    race(f"socket-{call}", call, near.fileno(), lambda: far.send(bytes(5000)))
for call in ("read", "readv"):
    near, far = os.pipe()
    race(f"pipe-{call}", call, near, lambda: os.write(far, bytes(4000)))
near, far = socket.socketpair()
near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 5000)
race("socket-sendto", "sendto", near.fileno(), lambda: [far.recv(SIZE, socket.MSG_WAITALL)])
