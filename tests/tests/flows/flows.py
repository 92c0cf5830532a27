# Moves the contents of a file through each kind of channel into another file: one process reads the file and writes into the
# channel, a second reads from the channel and writes the other file. Prints a line of JSON for each of these flows.


def copy(read, write, left):
    while left:
        data = read(min(left, 4096))
        assert data
        left -= len(data)
        while data:
            data = data[write(data) :]


def send(flow, write):
    source = os.open(flow["source"], os.O_RDONLY)
    copy(lambda size: os.read(source, size), write, flow["bytes"])


def receive(flow, read):
    target = os.open(flow["target"], os.O_WRONLY | os.O_CREAT, 0o600)
    copy(read, lambda data: os.write(target, data), flow["bytes"])


def by_descriptors(flow, reader, writer):
    """Moves the contents from one open file to another."""

    def sends():
        os.close(reader)
        send(flow, lambda data: os.write(writer, data))

    def receives():
        os.close(writer)
        receive(flow, lambda size: os.read(reader, size))

    children = process(sends), process(receives)
    os.close(reader)
    os.close(writer)
    wait(*children)


def pipe(flow):
    by_descriptors(flow, *os.pipe())


def fifo(flow):
    os.mkfifo("fifo")
    sends = process(lambda: send(flow, lambda data, fd=os.open("fifo", os.O_WRONLY): os.write(fd, data)))
    receives = process(lambda: receive(flow, lambda size, fd=os.open("fifo", os.O_RDONLY): os.read(fd, size)))
    wait(sends, receives)


def socketpair(flow, kind=socket.SOCK_STREAM):
    by_descriptors(flow, *(end.detach() for end in socket.socketpair(socket.AF_UNIX, kind)))


def socketpair_of_datagrams(flow):
    socketpair(flow, socket.SOCK_DGRAM)


def connected(flow, family, address):
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()

    def sends():
        client = socket.socket(family)
        client.connect(listener.getsockname())
        send(flow, client.send)

    wait(process(sends), process(lambda: receive(flow, listener.accept()[0].recv)))


def unix(flow):
    connected(flow, socket.AF_UNIX, "listener")


def tcp(flow):
    connected(flow, socket.AF_INET, ("127.0.0.1", 0))


def udp(flow):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))

    def sends():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect(receiver.getsockname())
        receiver.close()
        send(flow, sender.send)

    wait(process(sends), process(lambda: receive(flow, receiver.recv)))


def sendfile(flow):
    one, other = socket.socketpair()

    def sends():
        other.close()
        source = os.open(flow["source"], os.O_RDONLY)
        left = flow["bytes"]
        while left:
            left -= os.sendfile(one.fileno(), source, None, left)

    children = process(sends), process(lambda: receive(flow, other.recv))
    wait(*children)


def splice(flow):
    reader, writer = os.pipe()

    def moves(source, target):
        left = flow["bytes"]
        while left:
            left -= os.splice(source, target, left)

    def sends():
        moves(os.open(flow["source"], os.O_RDONLY), writer)

    def receives():
        moves(reader, os.open(flow["target"], os.O_WRONLY | os.O_CREAT, 0o600))

    wait(process(sends), process(receives))


def shared_map(flow):
    size = flow["bytes"]

    def at(mode):
        with open("map", mode) as file:
            return mmap.mmap(file.fileno(), size)

    def sends():
        shared = at("r+b")
        send(flow, shared.write)

    with open("map", "wb") as file:
        file.truncate(size)
    wait(process(sends))
    wait(process(lambda: receive(flow, at("r+b").read)))


def io_uring(flow):
    reader, writer = os.pipe()

    def moves(source, target):
        ring, data, left = Ring(), ctypes.create_string_buffer(4096), flow["bytes"]
        while left:
            size = ring.move(22, source, (ctypes.c_char * min(left, 4096)).from_buffer(data))
            assert size > 0
            assert ring.move(23, target, (ctypes.c_char * size).from_buffer(data)) == size
            left -= size

    def sends():
        moves(os.open(flow["source"], os.O_RDONLY), writer)

    def receives():
        moves(reader, os.open(flow["target"], os.O_WRONLY | os.O_CREAT, 0o600))

    wait(process(sends), process(receives))


WAYS = [pipe, fifo, socketpair, socketpair_of_datagrams, unix, tcp, udp, sendfile, splice, shared_map, io_uring]

for number, way in enumerate(WAYS):
    flow = {"way": way.__name__, "bytes": 20_000 + 1_111 * number}
    flow |= {name: os.path.abspath(f"{name}-{flow['way']}") for name in ("source", "target")}
    with open(flow["source"], "wb") as file:
        file.write(os.urandom(flow["bytes"]))
    way(flow)
    print(json.dumps(flow), flush=True)
