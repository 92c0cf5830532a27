# Moves the contents of files in many ways, and prints for each way a line of JSON: a source, a target, and whether data can have gone
# from the one to the other by the order of time. Each way has files of its own.
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmdt.argtypes = [ctypes.c_void_p]
SIZE = 20_000


def run(work, *arguments):
    """Does something in a process of its own, and waits for it."""
    wait(process(work, *arguments))


def read(path):
    fd = os.open(path, os.O_RDONLY)
    data = os.read(fd, 1 << 20)
    os.close(fd)
    return data


def write(path, data, flags=0):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    assert os.write(fd, data) == len(data)
    os.close(fd)


def all_of(get):
    data = b""
    while len(data) < SIZE:
        more = get(SIZE - len(data))
        assert more
        data += more
    return data


def through(source, target, reader, writer):
    """One process writes the source into a descriptor, another the other end into the target."""

    def sends():
        os.close(reader)
        data = read(source)
        while data:
            data = data[os.write(writer, data) :]

    def receives():
        os.close(writer)
        write(target, all_of(lambda size: os.read(reader, size)))

    children = process(sends), process(receives)
    os.close(reader)
    os.close(writer)
    wait(*children)


def one_process(source, target):
    run(lambda: write(target, read(source)))


def fork_tree(source, target):
    def grandparent():
        data = read(source)
        run(lambda: run(lambda: write(target, data)))

    run(grandparent)


def arguments(source, target):
    script = "import os, sys; os.write(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT, 0o600), sys.argv[1].encode())"
    run(lambda: os.execv(sys.executable, [sys.executable, "-c", script, read(source).hex(), target]))


def pipe(source, target):
    through(source, target, *os.pipe())


def fifo(source, target):
    name = source + ".fifo"
    os.mkfifo(name)

    def sends():
        data, fd = read(source), os.open(name, os.O_WRONLY)
        while data:
            data = data[os.write(fd, data) :]

    def receives():
        fd = os.open(name, os.O_RDONLY)
        write(target, all_of(lambda size: os.read(fd, size)))

    wait(process(sends), process(receives))


def socketpair(source, target):
    through(source, target, *(end.detach() for end in socket.socketpair()))


def connected(source, target, family, address):
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()

    def sends():
        client = socket.socket(family)
        client.connect(listener.getsockname())
        client.sendall(read(source))

    def receives():
        client = listener.accept()[0]
        write(target, all_of(client.recv))

    wait(process(sends), process(receives))


def unix(source, target):
    connected(source, target, socket.AF_UNIX, source + ".socket")


def tcp(source, target):
    connected(source, target, socket.AF_INET, ("127.0.0.1", 0))


def tcp6(source, target):
    connected(source, target, socket.AF_INET6, ("::1", 0))


def udp(source, target):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))

    def sends():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.connect(receiver.getsockname())
        receiver.close()
        sender.send(read(source))

    wait(process(sends), process(lambda: write(target, receiver.recv(SIZE))))


def shared_map(source, target):
    name = source + ".map"
    with open(name, "wb") as file:
        file.truncate(SIZE)

    def shared():
        with open(name, "r+b") as file:
            return mmap.mmap(file.fileno(), SIZE)

    run(lambda: shared().write(read(source)))
    run(lambda: write(target, bytes(shared())))


def inherited_map(source, target):
    """The child never mapped the file: it has its parent's map."""
    name = source + ".map"
    with open(name, "wb") as file:
        file.truncate(SIZE)
    with open(name, "r+b") as file:
        shared = mmap.mmap(file.fileno(), SIZE)
    run(lambda: shared.write(read(source)))
    run(lambda: write(target, bytes(shared)))


def posix_memory(source, target):
    name = "/dev/shm/" + os.path.basename(os.path.dirname(source)) + "-lineage"
    run(lambda: write(name, read(source)))
    run(lambda: write(target, read(name)))
    os.unlink(name)


def sysv_memory(source, target):
    number = libc.shmget(0, SIZE, 0o1600)
    assert number >= 0

    def sends():
        memory = libc.shmat(number, None, 0)
        ctypes.memmove(memory, read(source), SIZE)

    def receives():
        memory = libc.shmat(number, None, 0o10000)
        write(target, ctypes.string_at(memory, SIZE))

    run(sends)
    run(receives)
    libc.shmctl(number, 0, None)


def sysv_queue(source, target):
    number = libc.msgget(0, 0o1600)
    assert number >= 0

    def sends():
        assert libc.msgsnd(number, ctypes.create_string_buffer(struct.pack("l", 1) + read(source)[:4000]), 4000, 0) == 0

    def receives():
        message = ctypes.create_string_buffer(5000)
        assert libc.msgrcv(number, message, 4900, 0, 0) == 4000
        write(target, message.raw[8:4008])

    run(sends)
    run(receives)
    libc.msgctl(number, 0, None)


def sendfile(source, target):
    def copies():
        from_, to = os.open(source, os.O_RDONLY), os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
        assert os.sendfile(to, from_, None, SIZE) == SIZE

    run(copies)


def copy_file_range(source, target):
    def copies():
        from_, to = os.open(source, os.O_RDONLY), os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
        assert os.copy_file_range(from_, to, SIZE) == SIZE

    run(copies)


def copied_and_thrown_away(source, target):
    """The contents that were copied are thrown away at once: a flow into what comes after them is possible, and not proven."""
    name = source + ".copy"

    def copies():
        from_, to = os.open(source, os.O_RDONLY), os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
        left = SIZE
        while left:
            left -= os.copy_file_range(from_, to, min(left, 7000))
        os.close(to)
        write(name, b"other", os.O_TRUNC)

    run(copies)
    run(lambda: write(target, read(name)))


def splice(source, target):
    reader, writer = os.pipe()

    def moves(from_, to):
        left = SIZE
        while left:
            left -= os.splice(from_, to, left)

    def receives():
        os.close(writer)
        moves(reader, os.open(target, os.O_WRONLY | os.O_CREAT, 0o600))

    children = process(lambda: moves(os.open(source, os.O_RDONLY), writer)), process(receives)
    wait(*children)


def rename_over(source, target):
    """As editors do: the new contents get another name first."""

    def edits():
        write(target + ".tmp", read(source))
        os.rename(target + ".tmp", target)

    write(target, b"old")
    run(edits)


def hard_link(source, target):
    os.link(source, source + ".link")
    run(lambda: write(target, read(source + ".link")))


def process_vm(source, target):
    """A process takes the memory of another one."""
    ask, answer = os.pipe(), os.pipe()

    def owns():
        memory = ctypes.create_string_buffer(read(source))
        os.write(answer[1], struct.pack("Q", ctypes.addressof(memory)))
        os.read(ask[0], 1)

    owner = process(owns)
    address = struct.unpack("Q", os.read(answer[0], 8))[0]

    def takes():
        memory = ctypes.create_string_buffer(SIZE)
        local = struct.pack("QQ", ctypes.addressof(memory), SIZE)
        remote = struct.pack("QQ", address, SIZE)
        assert libc.syscall(310, owner, local, 1, remote, 1, 0) == SIZE, ctypes.get_errno()
        write(target, memory.raw)

    run(takes)
    os.write(ask[1], b"x")
    wait(owner)


def io_uring(source, target):
    def copies():
        ring, data = Ring(), ctypes.create_string_buffer(SIZE)
        from_, to = os.open(source, os.O_RDONLY), os.open(target, os.O_WRONLY | os.O_CREAT, 0o600)
        assert ring.move(22, from_, data) == SIZE
        assert ring.move(23, to, data) == SIZE

    run(copies)


def shell_pipeline(source, target):
    script = f"tar -c -f - -C / '{source[1:]}' | gzip -c | cat > '{target}'"
    subprocess.run(["/bin/sh", "-c", script], check=True)


def head(source, target):
    """The first program is still in its call when the last one has what it needs."""
    with open(source, "ab") as file:
        file.write(os.urandom(1 << 20))
    subprocess.run(["/bin/sh", "-c", f"cat '{source}' | head -c 1000 > '{target}'"], check=True)


def written_too_early(source, target):
    """The process has written before it reads."""

    def early():
        write(target, b"x" * 10)
        read(source)

    run(early)




def thrown_away(source, target):
    """The contents are replaced before anybody reads them."""
    name = source + ".copy"
    run(lambda: write(name, read(source)))
    run(lambda: write(name, b"other", os.O_TRUNC))
    run(lambda: write(target, read(name)))


def truncated(source, target):
    name = source + ".copy"
    run(lambda: write(name, read(source)))
    run(lambda: os.ftruncate(os.open(name, os.O_WRONLY), 0))
    run(lambda: write(name, b"other"))
    run(lambda: write(target, read(name)))


def replaced(source, target):
    """Another file has the name by then."""
    name = source + ".copy"
    run(lambda: write(name, read(source)))
    run(lambda: (write(name + ".new", b"other"), os.rename(name + ".new", name)))
    run(lambda: write(target, read(name)))


def read_too_early(source, target):
    """The reader has read the file before it was written."""
    name = source + ".copy"
    write(name, b"before")
    ask = os.pipe()
    answer = os.pipe()

    def early():
        data = read(name)
        os.write(answer[1], b"x")
        os.read(ask[0], 1)
        write(target, data)

    child = process(early)
    os.read(answer[0], 1)
    run(lambda: write(name, read(source)))
    os.write(ask[1], b"x")
    wait(child)


def other_socket(source, target):
    """A process that has the same end of a connection does not get what is sent by it."""
    one, other = socket.socketpair()
    other.send(b"for the second")

    def sends():
        other.close()
        one.send(read(source)[:1000])

    def second():
        other.close()
        write(target, one.recv(100))

    run(sends)
    run(second)


TRUE = [
    one_process, fork_tree, arguments, pipe, fifo, socketpair, unix, tcp, tcp6, udp, shared_map, inherited_map, posix_memory,
    sysv_memory, sysv_queue, sendfile, copy_file_range, copied_and_thrown_away, splice, rename_over, hard_link, process_vm, io_uring, shell_pipeline, head,
]
FALSE = [written_too_early, thrown_away, truncated, replaced, read_too_early, other_socket]

for way in TRUE + FALSE:
    names = [os.path.abspath(f"{way.__name__}.{name}") for name in ("source", "target")]
    # Written by this process, which then has the contents of all sources: each way begins with a process that reads its own.
    size = 500 if way is arguments else SIZE
    with open(names[0], "wb") as file:
        file.write(os.urandom(size))
    # In a process of its own: what that has in its memory is not in that of the next way.
    run(way, *names)
    assert os.path.getsize(names[1]) > 0, way
    print(json.dumps({"way": way.__name__, "source": names[0], "target": names[1], "is_true": way in TRUE}), flush=True)
