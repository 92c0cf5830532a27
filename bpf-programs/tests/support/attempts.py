"""Makes TCP connections that connect() alone does not show. The argument names a case; each line of output is one
connection that the tracer must record: destination and source port (0: unknown), result, whether the caller waited.
"""
import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import threading

TIMES = 23
REFUSED, ABORTED, IN_USE = -111, -103, -99
FASTOPEN, FASTOPEN_CONNECT = 0x20000000, 30
libc = ctypes.CDLL(None, use_errno=True)


def connection(to, own, result, waited):
    print(to, own, result, "true" if waited else "false", flush=True)


def listener(backlog=64):
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
    made.listen(backlog)
    return made, made.getsockname()[1]


def closed():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def address(port):
    return ctypes.create_string_buffer(struct.pack("=HHI8x", 2, socket.htons(port), socket.htonl(0x7F000001)), 16)


def apart():
    """Enters a network namespace of its own, in which data is sent with the first packet."""
    if libc.unshare(0x40000000):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
    with open("/proc/sys/net/ipv4/tcp_fastopen", "w") as setting:
        setting.write("1543")  # 0x607: client and server, without a cookie


def attempt(call, *arguments):
    try:
        return call(*arguments)
    except OSError as cause:
        return -cause.errno


def fast(port, how, waits, result):
    made = socket.socket()
    made.setblocking(waits)
    if how == "sendto":
        attempt(made.sendto, b"hello", FASTOPEN, ("127.0.0.1", port))
    else:
        made.setsockopt(socket.IPPROTO_TCP, FASTOPEN_CONNECT, 1)
        assert attempt(made.connect, ("127.0.0.1", port)) in (None, 0)
        attempt(made.send, b"hello")
    select.select([], [made], [])
    return made, (port, made.getsockname()[1] if not result else 0, result, waits)


def fast_open():
    apart()
    (server, port), shut = listener(), closed()
    for _ in range(TIMES):
        for how in ("sendto", "connect"):
            for waits in (True, False):
                made, row = fast(port, how, waits, 0)
                taken = server.accept()[0]
                assert taken.recv(9) == b"hello"
                made.close()
                assert taken.recv(9) == b""
                connection(*row)
                made, row = fast(shut, how, waits, REFUSED)
                made.close()
                connection(*row)
    # One that never sends.
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_TCP, FASTOPEN_CONNECT, 1)
    made.connect(("127.0.0.1", port))
    made.close()
    connection(port, 0, ABORTED, True)


def full():
    """Returns a listener whose queue is full: the next connection waits until one is accepted."""
    server, port = listener(0)
    first = socket.create_connection(("127.0.0.1", port))
    connection(port, first.getsockname()[1], 0, True)
    return server, port, first


def wait_for_attempt(port):
    """Waits until a socket has asked for a connection to the port."""
    wanted = f"0100007F:{port:04X} 02"
    while wanted not in open("/proc/self/net/tcp").read():
        os.sched_yield()


def connecting(fd, to, done):
    result = libc.connect(fd, to, 16)
    done.append(-ctypes.get_errno() if result else 0)


def interrupted():
    server, port, _ = full()
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.siginterrupt(signal.SIGUSR1, True)
    made, done = socket.socket(), []
    thread = threading.Thread(target=connecting, args=(made.fileno(), address(port), done))
    thread.start()
    wait_for_attempt(port)
    while not done:
        signal.pthread_kill(thread.ident, signal.SIGUSR1)
        os.sched_yield()
    assert done == [-4], done
    server.accept()
    select.select([], [made], [])
    made.send(b"after the signal")
    connection(port, made.getsockname()[1], 0, True)


def exchanged():
    """Another thread puts another socket behind the descriptor, and another address into the memory, while connect waits."""
    server, port, _ = full()
    made, other, done = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), []
    kept, to = os.dup(made.fileno()), address(port)
    thread = threading.Thread(target=connecting, args=(made.fileno(), to, done))
    thread.start()
    wait_for_attempt(port)
    os.dup2(other.fileno(), made.fileno())
    to[:] = address(9)[:]
    server.accept()
    thread.join()
    assert done == [0], done
    connection(port, socket.socket(fileno=kept).getsockname()[1], 0, True)


def reusable(port=0):
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made, made.getsockname()[1]


def other_ends():
    """Failures after the first change of state, and connects that ask for the outcome of an earlier one."""
    server, port = listener()
    shut = closed()
    for _ in range(TIMES):
        first, own = reusable()
        first.connect(("127.0.0.1", port))
        connection(port, own, 0, True)
        second, _ = reusable(own)
        assert attempt(second.connect, ("127.0.0.1", port)) == IN_USE
        connection(port, own, IN_USE, True)
        asks = socket.socket()
        asks.setblocking(False)
        for expected in (-115, REFUSED, -115, REFUSED):
            assert attempt(asks.connect, ("127.0.0.1", shut)) == expected
            if expected == REFUSED:
                connection(shut, 0, REFUSED, False)
        taken = server.accept()[0]
        for each in (first, second, taken):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()


{
    "fast_open": fast_open,
    "interrupted": interrupted,
    "exchanged": exchanged,
    "other_ends": other_ends,
}[sys.argv[1]]()
