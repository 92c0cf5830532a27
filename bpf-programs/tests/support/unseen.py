"""Does in processes of their own what docs/COVERAGE.md lists as not seen. Prints a line for each process: a name and its pid.
The argument is a folder.
"""
import ctypes, fcntl, mmap, os, signal, socket, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
os.chdir(sys.argv[1])
for name in ("file", "cancelled", "refused"):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
file = os.open("file", os.O_RDWR)
os.write(file, b"x" * 8192)
receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
receiver.bind(("127.0.0.1", 0))
sender.connect(receiver.getsockname())
os.mkdir("folder")
os.symlink("file", "link")
folder = os.open("folder", os.O_RDONLY)
pipe = os.pipe()
os.write(pipe[1], b"spliced")
broken = os.pipe()
os.close(broken[0])
resolver = socket.socket()
resolver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
resolver.bind(("127.0.0.54", 53))
resolver.listen()
question = socket.create_connection(resolver.getsockname())
memory = mmap.mmap(file, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
signalled = os.pipe()
try:
    terminal = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(terminal, 0x40045431, bytes(4))
except OSError:
    terminal = None


def call(number, *arguments):
    return libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))


def process(name, work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    print(name, pid, flush=True)
    return pid


def unseen():
    # ioctl of chattr; getxattr.
    flags = bytearray(8)
    try:
        fcntl.ioctl(file, 0x80086601, flags)
        fcntl.ioctl(file, 0x40086602, flags)
    except OSError:
        pass
    call(193, file, b"user.x", 0, 0)
    # Names in a folder, the text of a symbolic link, attributes of a file.
    assert call(217, folder, bytes(512), 512) > 0
    assert os.readlink("link") == "file" and os.stat("link").st_size == 8192
    # A mapping is made longer, and gets another protection.
    longer = call(25, address, 4096, 8192, 1)
    assert longer > 0
    assert call(10, longer, 4096, 1) == 0
    mmap.mmap(-1, 4096)[0] = 1
    # A request of libaio whose result the program takes from the ring in its memory.
    ring, room = ctypes.c_ulong(), ctypes.create_string_buffer(100)
    assert call(206, 4, ctypes.byref(ring)) == 0
    request = struct.pack("=QIIHhIQQqQII", 0, 0, 0, 0, 0, file, ctypes.addressof(room), 100, 0, 0, 0, 0)
    request = ctypes.create_string_buffer(request)
    assert call(209, ring.value, 1, ctypes.byref(ctypes.c_ulong(ctypes.addressof(request)))) == 1
    words = (ctypes.c_uint32 * 4).from_address(ring.value)
    while words[2] == words[3]:
        pass
    assert room.raw == b"x" * 100
    # Datagrams by sendfile and splice; a question to a name server over TCP; netlink.
    assert os.sendfile(sender.fileno(), file, 0, 100) == 100
    assert os.splice(pipe[0], sender.fileno(), 7) == 7
    question.sendall(b"\0\x1d\0\1\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1")
    route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    route.bind((0, 0))
    route.send(struct.pack("=IHHIIB3x", 20, 18, 0x301, 1, 0, 0))
    route.recv(65536)
    # CLONE_SIGHAND without CLONE_VM fails.
    assert call(56, 0x800, 0, 0, 0, 0) == -1
    # Signals of the kernel.
    try:
        os.write(broken[1], b"x")
    except BrokenPipeError:
        pass
    fcntl.fcntl(signalled[0], fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(signalled[0], 10, signal.SIGUSR1)  # F_SETSIG
    fcntl.fcntl(signalled[0], fcntl.F_SETFL, os.O_ASYNC)
    os.write(signalled[1], b"x")
    # The other side of a terminal.
    if terminal is not None:
        os.close(fcntl.ioctl(terminal, 0x5441, os.O_RDWR | os.O_NOCTTY))
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    while signal.getitimer(signal.ITIMER_REAL)[0]:
        pass
    # Mounts that are not attached.
    context = call(430, b"tmpfs", 0)
    if context >= 0:
        assert call(431, context, 6, 0, 0, 0) == 0
        assert call(432, context, 0, 0) >= 0
    # Semaphores.
    semaphore = call(64, 0, 1, 0o600)
    assert semaphore >= 0
    call(65, semaphore, struct.pack("=Hhh", 0, 1, 0), 1)
    call(66, semaphore, 0, 0, 0)
    # memfd_secret, keys, the clock, perf_event_open.
    call(447, 0)
    call(248, b"user", b"unseen", b"x", 1, -1)
    call(250, 0, -1, 0, 0, 0)
    call(159, bytes(208))
    call(298, bytes(128), 0, -1, -1, 0)
    # A capability that children do not get.
    assert libc.prctl(24, 25, 0, 0, 0) == 0


def refused():
    """A filter of seccomp refuses unlink."""
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, 87), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
    program = b"".join(struct.pack("=HBBI", *one) for one in code)
    filter = ctypes.create_string_buffer(program)
    head = struct.pack("@HP", 4, ctypes.addressof(filter))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.c_char_p(head)) == 0
    assert call(87, b"refused") == -1


def cancelled():
    assert call(101, 0, 0, 0, 0) == 0
    os.kill(os.getpid(), signal.SIGSTOP)
    call(87, b"cancelled")


assert os.waitpid(process("unseen", unseen), 0)[1] == 0
assert os.waitpid(process("refused", refused), 0)[1] == 0
# A debugger replaces the number of unlink.
child = process("cancelled", cancelled)
os.waitpid(child, 0)
NUMBER = 15 * 8
while True:
    call(101, 24, child, 0, 0)
    if not os.WIFSTOPPED(os.waitpid(child, 0)[1]):
        break
    number = ctypes.c_long()
    call(101, 3, child, NUMBER, ctypes.byref(number))
    if number.value == 87:
        call(101, 6, child, NUMBER, -1)
assert os.path.exists("cancelled") and os.path.exists("refused")
