"""Sends datagrams by other sockets than UDP's, and connects other sockets than TCP's. Each line of output is a row that must
be there: tracer, and fields of it; after `!` one that must not. The arguments are a folder and the functions to run.
"""
import errno
import json
import os
import socket
import struct
import sys

TIMES = 23
SCTP, UDPLITE, MPTCP = 132, 136, 262
BINDX_ADD = 100
EVENTS, NOTIFICATION = 11, 0x8000
LACKING = 77  # exit code if the kernel has no such sockets


def row(tracer, **fields):
    print(json.dumps([tracer, fields]), flush=True)


def absent(tracer, **fields):
    row("!" + tracer, **fields)


def sent(family, times, length, **fields):
    row("udp", family=family, bytes_sent=times * length, datagrams_sent=times, **fields)


def inet():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE)
    server.bind(("127.0.0.1", 0))
    port = server.getsockname()[1]
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE)
    for _ in range(TIMES):
        client.sendto(b"light", ("127.0.0.1", port))
        server.recvfrom(9)
    lite = {"protocol": "IPPROTO_UDPLITE", "type": "SOCK_DGRAM"}
    sent("AF_INET", TIMES, 5, daddr="127.0.0.1", dport=port, **lite)
    row("udp", family="AF_INET", sport=port, bytes_received=TIMES * 5, datagrams_received=TIMES, **lite)
    ping = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    echo = struct.pack("!BBHHH", 8, 0, 0xF7FF, 0, 0)
    for _ in range(TIMES):
        ping.sendto(echo, ("127.0.0.1", 0))
    sent("AF_INET", TIMES, 8, daddr="127.0.0.1", protocol="IPPROTO_ICMP", type="SOCK_RAW")
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 253)
    raw.connect(("::1", 0))
    raw.send(b"an experiment")
    sent("AF_INET6", 1, 13, daddr="::1", protocol="253", type="SOCK_RAW")


def unix(folder):
    """As syslog(), by a connected socket, and as sd_notify(), by an unconnected one; to a name that is a path or abstract."""
    for name in (os.path.join(folder, "log"), "\0families %d" % os.getpid()):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        server.bind(name)
        shown = name.replace("\0", "@")
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        connected.connect(name)
        either = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        for _ in range(TIMES):
            connected.send(b"<5>words")
            either.sendto(b"READY=1", name)
            server.recvfrom(99)
            server.recv(99)
        peer = os.fstat(server.fileno()).st_ino
        for of, length in ((connected, 8), (either, 7)):
            sent("AF_UNIX", TIMES, length, sun_path=shown, sock_ino=os.fstat(of.fileno()).st_ino)
        row("udp", family="AF_UNIX", sock_ino=peer, bytes_received=TIMES * 15, datagrams_received=2 * TIMES)
        # Several destinations of one socket.
        other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        other.bind(name + "2")
        either.sendto(b"x", name + "2")
        sent("AF_UNIX", 1, 1, sun_path=shown + "2", sock_ino=os.fstat(either.fileno()).st_ino)


def packet():
    lo = socket.if_nametoindex("lo")
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    for _ in range(TIMES):
        frames.sendto(b"a frame", ("lo", 0x88B5, 0, 0, bytes([2, 0, 0, 0, 0, 9])))
    sent("AF_PACKET", TIMES, 7, interface=lo, protocol="0x88b5", daddr="02:00:00:00:00:09")
    bound = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    bound.bind(("lo", 0x88B5))
    row("bind", family="AF_PACKET", interface=lo, protocol="0x88b5")
    bound.send(bytes(60))
    sent("AF_PACKET", 1, 60, interface=lo)


def connections():
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
    server.bind(("127.0.0.1", 0))
    server.listen()
    port = server.getsockname()[1]
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP)
    client.connect(("127.0.0.1", port))
    taken, _ = server.accept()
    own = client.getsockname()[1]
    row("connect", dport=port, sport=own, ret=0, sock_ino=os.fstat(client.fileno()).st_ino)
    ino = os.fstat(taken.fileno()).st_ino
    row("accept", dport=own, sport=port, ret=taken.fileno(), sock_ino=ino, protocol="IPPROTO_MPTCP")


def opened(*arguments):
    """Opens a socket, or says that this kernel has none of the kind."""
    try:
        return socket.socket(*arguments)
    except OSError as cause:
        sys.exit(LACKING if cause.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT) else str(cause))


def vsock():
    vm = opened(socket.AF_VSOCK, socket.SOCK_STREAM)
    vm.setblocking(False)
    ret = vm.connect_ex((77, 1024))
    row("connect", family="AF_VSOCK", daddr="77:1024", ret=-ret)
    vm = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    vm.bind((socket.VMADDR_CID_ANY, 1025))
    row("bind", family="AF_VSOCK", saddr="4294967295:1025", ret=0)


def vsock_connected():
    """Two sockets of this machine, by the module vsock_loopback."""
    local = 1
    server = opened(socket.AF_VSOCK, socket.SOCK_STREAM)
    try:
        server.bind((local, 1026))
    except OSError as cause:
        sys.exit(LACKING if cause.errno == errno.EADDRNOTAVAIL else str(cause))
    server.listen()
    row("bind", family="AF_VSOCK", call="listen", ret=0)
    client = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    client.connect((local, 1026))
    row("connect", family="AF_VSOCK", daddr="1:1026", ret=0, sock_ino=os.fstat(client.fileno()).st_ino)
    taken, _ = server.accept()
    row("accept", family="AF_VSOCK", ret=taken.fileno(), sock_ino=os.fstat(taken.fileno()).st_ino)


def sctp():
    """Two sockets with a connection of their own (SOCK_STREAM), and two that need none (SOCK_SEQPACKET)."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        of = {"family": family.name, "protocol": "IPPROTO_SCTP"}
        server = opened(family, socket.SOCK_STREAM, SCTP)
        server.bind((host, 0))
        server.listen()
        port = server.getsockname()[1]
        row("bind", call="bind", saddr=host, sport=port, ret=0, **of)
        client = socket.socket(family, socket.SOCK_STREAM, SCTP)
        client.connect((host, port))
        own = client.getsockname()[1]
        row("connect", daddr=host, dport=port, sport=own, ret=0, sock_ino=os.fstat(client.fileno()).st_ino, **of)
        taken, _ = server.accept()
        ino = os.fstat(taken.fileno()).st_ino
        row("accept", daddr=host, dport=own, sport=port, ret=taken.fileno(), sock_ino=ino, **of)
        for _ in range(TIMES):
            client.send(b"message")
            taken.recv(99)
        sums = {"daddr": host, "type": "SOCK_STREAM", **of}
        row("udp", bytes_sent=TIMES * 7, datagrams_sent=TIMES, dport=port, sport=own, **sums)
        row("udp", bytes_received=TIMES * 7, datagrams_received=TIMES, dport=own, sport=port, **sums)
        many = socket.socket(family, socket.SOCK_SEQPACKET, SCTP)
        many.bind((host, 0))
        many.listen()
        port = many.getsockname()[1]
        either = socket.socket(family, socket.SOCK_SEQPACKET, SCTP)
        for _ in range(TIMES):
            either.sendto(b"words", (host, port))
            many.recvfrom(99)
        absent("connect", sock_ino=os.fstat(either.fileno()).st_ino)
        own = either.getsockname()[1]
        sums["type"] = "SOCK_SEQPACKET"
        row("udp", bytes_sent=TIMES * 5, datagrams_sent=TIMES, dport=port, **sums)
        row("udp", bytes_received=TIMES * 5, datagrams_received=TIMES, dport=own, sport=port, **sums)
        # A notification of a new association counts as a message.
        noticing = socket.socket(family, socket.SOCK_SEQPACKET, SCTP)
        noticing.setsockopt(SCTP, EVENTS, bytes([1, 1]) + bytes(11))
        noticing.bind((host, 0))
        noticing.listen()
        port = noticing.getsockname()[1]
        either = socket.socket(family, socket.SOCK_SEQPACKET, SCTP)
        either.sendto(b"words", (host, port))
        notice, _, flags, _ = noticing.recvmsg(99)
        assert flags & NOTIFICATION and noticing.recvfrom(99)[0] == b"words"
        own = either.getsockname()[1]
        row("udp", bytes_sent=5, datagrams_sent=1, dport=port, **sums)
        row("udp", bytes_received=len(notice) + 5, datagrams_received=2, dport=own, sport=port, **sums)
        closed = socket.socket(family, socket.SOCK_STREAM, SCTP)
        closed.bind((host, 0))
        port = closed.getsockname()[1]
        refused = socket.socket(family, socket.SOCK_STREAM, SCTP)
        ret = refused.connect_ex((host, port))
        row("connect", daddr=host, dport=port, ret=-ret, sock_ino=os.fstat(refused.fileno()).st_ino, **of)
    # Another address of a socket, by sctp_bindx().
    other = socket.inet_aton("127.0.0.3")
    two = socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, SCTP)
    two.bind(("127.0.0.1", 0))
    port = two.getsockname()[1]
    two.setsockopt(SCTP, BINDX_ADD, struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + other + bytes(8))
    row("bind", saddr="127.0.0.1", sport=port, ret=0)
    absent("bind", saddr="127.0.0.3")


for part in sys.argv[2:]:
    if part == "unix":
        unix(sys.argv[1])
    else:
        globals()[part]()
