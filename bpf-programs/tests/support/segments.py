"""Sends and receives UDP datagrams in ways in which a call is not one datagram. Each line of output is a flow, counted at the
receiving socket: the ports of the socket and of its other end, whether it sent (s) or received (r), datagrams, bytes.
"""
import socket
import struct

SOL_UDP, CORK, SEGMENT, GRO, MORE = 17, 1, 103, 104, 0x8000


def pair():
    server, client = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for each in (server, client):
        each.bind(("127.0.0.1", 0))
    client.connect(server.getsockname())
    server.setblocking(False)
    return server, client


def taken(server):
    """Takes all datagrams that have arrived."""
    sizes = []
    try:
        while True:
            sizes.append(len(server.recvfrom(65536)[0]))
    except BlockingIOError:
        return sizes


def flow(of, other, direction, sizes):
    print(of.getsockname()[1], other.getsockname()[1], direction, len(sizes), sum(sizes))


def by_option(client):
    client.setsockopt(SOL_UDP, SEGMENT, 100)
    for length in (1000, 950, 99, 0):
        client.send(bytes(length))


def by_message(client):
    ttl = (socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", 9))
    size = (SOL_UDP, SEGMENT, struct.pack("H", 100))
    client.sendmsg([bytes(1000)], [size])
    client.sendmsg([bytes(500), bytes(10)], [ttl, size])
    client.sendmsg([bytes(1000)], [ttl])


def more(client):
    for _ in range(3):
        client.send(b"one", MORE)
        client.sendmsg([b"two"], [], MORE)
        client.send(b"three")
    client.send(b"alone")


def cork(client):
    for _ in range(3):
        client.setsockopt(SOL_UDP, CORK, 1)
        client.send(b"one")
        client.send(b"two")
        client.setsockopt(SOL_UDP, CORK, 0)
    client.send(b"alone")


for way in (by_option, by_message, more, cork):
    server, client = pair()
    way(client)
    sizes = taken(server)
    flow(client, server, "s", sizes)
    flow(server, client, "r", sizes)

server, client = pair()
server.setsockopt(SOL_UDP, GRO, 1)
client.setsockopt(SOL_UDP, SEGMENT, 100)
client.send(bytes(950))
data, control, _, _ = server.recvmsg(65536, 200)
assert len(data) == 950 and len(control) == 1, control
flow(client, server, "s", [100] * 9 + [50])
flow(server, client, "r", [100] * 9 + [50])
