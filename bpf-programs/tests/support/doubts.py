"""Calls whose row could say what was not done. The arguments are a folder and names of functions; each works in a process of
its own, whose name and pid are printed.
"""
import array, ctypes, fcntl, mmap, os, select, signal, socket, struct, sys, threading

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
os.chdir(sys.argv[1])
os.close(os.open("held", os.O_CREAT | os.O_WRONLY))
NR = {"x86_64": (0, 62, 91, 42), "aarch64": (63, 129, 52, 203)}[os.uname().machine]
READ, KILL, FCHMOD, CONNECT = NR


def call(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments))
    return result if result >= 0 else -ctypes.get_errno()


def process(name, work):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    print(name, child, flush=True)
    return child


def ended(child):
    assert os.waitpid(child, 0)[1] == 0


def filter_of(numbers, verdict):
    """Returns a filter of seccomp with this verdict on these calls, and what keeps its memory."""
    code = [(0x20, 0, 0, 0)]
    code += [(0x15, len(numbers) - at, 0, number) for at, number in enumerate(numbers)]
    code += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, verdict)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in code))
    return ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(program))), program


def supervised():
    """A supervisor answers in the kernel's place; a filter without one comes on top."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child:
        _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                assert status == 0
                return
            if poll.poll(10) and not poll.poll(0)[0][1] & select.POLLHUP:
                request = bytearray(80)
                fcntl.ioctl(listener, 0xC0502100, request)
                answer = struct.pack("=QqiI", struct.unpack_from("=Q", request)[0], 7, 0, 0)
                fcntl.ioctl(listener, 0xC0182101, bytearray(answer))
    print("supervised", os.getpid(), flush=True)
    answered, kept = filter_of([READ, KILL, FCHMOD], 0x7FC00000)
    silent, kept2 = filter_of([500], 0x7FFF0000)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    listener = call(317 if READ == 0 else 277, 1, 8, answered)
    assert listener >= 0
    assert call(317 if READ == 0 else 277, 1, 0, silent) == 0
    socket.send_fds(theirs, [b"x"], [listener])
    os.close(listener)
    held = os.open("held", os.O_RDONLY)
    assert call(KILL, 1, 9) == 7
    assert call(FCHMOD, held, 0o777) == 7
    assert call(READ, held, ctypes.create_string_buffer(8), 8) == 7
    os._exit(0)


def refused():
    """A filter says that a call was done which was not."""
    fine, kept = filter_of([KILL], 0x50000)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, fine) == 0
    assert call(KILL, 1, 9) == 0


def trapped():
    """A filter has the process's own handler do a call."""
    signal.signal(signal.SIGSYS, lambda *_: None)
    trap, kept = filter_of([KILL], 0x30000)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, trap) == 0
    call(KILL, 1, 9)


def interrupted():
    """Calls that a signal interrupts: one is made again, the others fail."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    os.mkfifo("fifo")
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    assert libc.open(b"fifo", os.O_RDONLY) == -1
    listener = socket.socket()
    listener.listen()
    assert libc.accept(listener.fileno(), None, None) == -1
    queue = libc.msgget(0, 0o1600)
    assert libc.msgrcv(queue, ctypes.create_string_buffer(16), 8, 0, 0) == -1
    libc.msgctl(queue, 0, None)


def threaded():
    """Acts by descriptor, while the descriptors are shared; numbers that are wider than what the kernel takes."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    own = os.pidfd_open(os.getpid())
    assert call(424, own, 0, 0, 0) == 0
    net = os.open("/proc/self/ns/net", os.O_RDONLY)
    assert call({"x86_64": 308, "aarch64": 268}[os.uname().machine], net, 0) == 0
    os.memfd_create("doubted")
    stop.set()
    thread.join()


def alone():
    """The same by a process whose descriptors nobody shares: these are as the kernel has them."""
    own = os.pidfd_open(os.getpid())
    assert call(424, own, 0, 0, 0) == 0
    os.memfd_create("certain")
    held = os.open("held", os.O_RDONLY)
    assert call(FCHMOD, held, 0xDEAD000001FF) == 0
    assert libc.setfsuid(ctypes.c_uint(0xFFFFFFFE)) == 0
    assert ctypes.c_uint(libc.setfsuid(0)).value == 0xFFFFFFFE
    # An association of a datagram socket ends.
    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    assert libc.connect(one.fileno(), bytes(16), 16) == 0
    # The address of a message is in memory.
    to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    to.bind(("127.0.0.1", 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect(to.getsockname())
    sender.sendmsg([b"x"])
    sender.close()


def targets():
    """Acts on a thread, on itself, by its number and by pidfds; then on nobody."""
    numbers, stop = [], threading.Event()

    def wait():
        numbers.append(threading.get_native_id())
        stop.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    while not numbers:
        os.sched_yield()
    print("thread", numbers[0], flush=True)
    assert call({"x86_64": 200, "aarch64": 130}[os.uname().machine], numbers[0], 0) == 0
    assert call(KILL, numbers[0], 0) == 0
    buffer = ctypes.create_string_buffer(8)
    vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(buffer), 8))
    assert call({"x86_64": 310, "aarch64": 270}[os.uname().machine], numbers[0], vector, 1, vector, 1, 0) == 8
    pidfd = call(434, numbers[0], os.O_EXCL)  # PIDFD_THREAD, since 6.9
    if pidfd >= 0:
        assert call(424, pidfd, 0, 0, 0) == 0
    call(424, -10000, 0, 0, 0)  # PIDFD_SELF_THREAD, since 6.14
    stop.set()
    thread.join()


def traced():
    """PTRACE_TRACEME, whose other arguments mean nothing."""
    assert call({"x86_64": 101, "aarch64": 117}[os.uname().machine], 0, 0x1234, 0, 0) == 0


def cloned():
    """clone3, whose flags another process changes in shared memory as soon as it can."""
    memory = mmap.mmap(-1, 4096)
    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    other = os.fork()
    if other == 0:
        libc.prctl(1, signal.SIGKILL)
        memory[4000] = 1
        while True:
            memory[0:8] = struct.pack("=Q", 0x400)  # CLONE_FILES
            memory[0:8] = struct.pack("=Q", 0x200)  # CLONE_FS
    while not memory[4000]:
        os.sched_yield()
    for _ in range(300):
        memory[8:88] = struct.pack("=10Q", 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
        child = call(435, ctypes.c_void_p(at), 88)
        if child == 0:
            # Shares the one or the other: whose changes does the parent see?
            os.umask(0o77)
            os._exit(0)
        os.waitpid(child, 0)
        print("cloned-child", child, 1 if os.umask(0o22) == 0o77 else 0, flush=True)
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)


def space():
    """ioctl empties a part of a file, as fallocate does."""
    file = os.open("emptied", os.O_CREAT | os.O_RDWR)
    os.write(file, b"x" * 8192)
    print("emptied", os.fstat(file).st_ino, flush=True)
    done = call({"x86_64": 16, "aarch64": 29}[os.uname().machine], file, 0x4030582B, struct.pack("=hhiqqII16x", 0, 0, 0, 100, 4000, 0, 0))
    # Not every file system can.
    assert done in (0, -95), done
    assert done or os.pread(file, 5000, 0) == b"x" * 100 + bytes(4000) + b"x" * 900


def blocked(pid, task, descriptor):
    """Waits until this thread reads from that descriptor."""
    while open(f"/proc/{pid}/task/{task}/syscall").read().split()[:2] != [str(READ), hex(descriptor)]:
        pass


def exchanged(exchange):
    """A read waits while `exchange` puts another pipe in the descriptor's place; what it started is gone when the read ends."""
    (read, write), (other, _) = os.pipe(), os.pipe()
    print("read-from", os.fstat(read).st_ino, flush=True)
    own, main = os.getpid(), threading.get_native_id()
    (received, sent) = os.pipe()
    writer = os.fork()
    if writer == 0:
        # Its descriptors are its own.
        task = int(os.read(received, 20))
        blocked(own, main, read)
        try:
            while task != own and open(f"/proc/{own}/task/{task}/stat").read().split()[2] != "Z":
                pass
        except (FileNotFoundError, ProcessLookupError):
            pass
        try:
            while open(f"/proc/{task}/stat").read().rsplit(")", 1)[1].split()[0] != "Z":
                pass
        except (FileNotFoundError, ProcessLookupError):
            pass
        os.write(write, b"x" * 777)
        os._exit(0)
    exchange(own, main, read, other, sent)
    assert len(os.read(read, 4096)) == 777
    assert os.fstat(read).st_ino == os.fstat(other).st_ino


def departed():
    """A thread that has ended puts another file in the place of a descriptor that a call uses."""

    def work(own, main, read, other, sent):
        os.write(sent, b"%d" % threading.get_native_id())
        blocked(own, main, read)
        os.dup2(other, read)

    exchanged(lambda *known: threading.Thread(target=work, args=known).start())


def lent():
    """The same by a process that shares the descriptors."""

    def start(own, main, read, other, sent):
        child = call({"x86_64": 56, "aarch64": 220}[os.uname().machine], 0x400 | signal.SIGCHLD, 0, 0, 0, 0)  # CLONE_FILES
        if child == 0:
            blocked(own, main, read)
            os.dup2(other, read)
            libc._exit(0)
        os.write(sent, b"%d" % child)

    exchanged(start)


def debugged():
    """A debugger changes the number of a call while the call makes a process or executes a program."""
    PTRACE = 101
    CONT, POKEUSER, DETACH, SETOPTIONS = 7, 6, 17, 0x4200
    child = os.fork()
    if child == 0:
        assert call(PTRACE, 0, 0, 0, 0) == 0
        os.kill(os.getpid(), signal.SIGSTOP)
        if os.fork() == 0:
            os._exit(0)
        os.execv("/bin/true", ["true"])
    print("debugged-child", child, flush=True)
    os.waitpid(child, 0)
    assert call(PTRACE, SETOPTIONS, child, 0, 0x2 | 0x10) == 0  # PTRACE_O_TRACEFORK, PTRACE_O_TRACEEXEC
    call(PTRACE, CONT, child, 0, 0)
    while True:
        pid, status = os.waitpid(-1, 0x40000000)
        if pid != child:
            call(PTRACE, DETACH, pid, 0, 0)
            continue
        assert os.WIFSTOPPED(status), status
        event, to_give = status >> 16, 0
        # kill(1, SIGKILL) at the fork, setuid(0) at the exec.
        for at, value in {1: [(15, 62), (14, 1), (13, 9)], 4: [(15, 105), (14, 0)]}.get(event, []):
            assert call(PTRACE, POKEUSER, child, at * 8, value) == 0
        if event == 4:
            assert call(PTRACE, DETACH, child, 0, 0) == 0
            break
        if not event and os.WSTOPSIG(status) not in (signal.SIGSTOP, signal.SIGTRAP):
            to_give = os.WSTOPSIG(status)
        call(PTRACE, CONT, child, 0, to_give)
    while True:
        try:
            pid, status = os.waitpid(-1, 0x40000000)
        except ChildProcessError:
            break
        if os.WIFSTOPPED(status):
            call(PTRACE, DETACH, pid, 0, 0)


WAYS = {work.__name__: work for work in (refused, trapped, interrupted, threaded, alone, targets, traced, cloned, departed, lent, debugged, space)}
for name in sys.argv[2:]:
    if name == "supervised":
        supervised()
    else:
        ended(process(name, WAYS[name]))
