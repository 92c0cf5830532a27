"""Calls whose texts and addresses lie on two pages of memory, of which the second is supplied by another thread (userfaultfd): when
the kernel has read the first one and waits for the second, the thread changes the first. Prints a line for each call: its name, and
the inode number of the file that it worked with, or the port. The argument is a folder, which becomes the working folder.
"""
import ctypes, fcntl, mmap, os, socket, struct, sys, threading

os.chdir(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
PAGE = 4096
NR = {"open": 2, "unlink": 87, "rename": 82, "chmod": 90, "mkdir": 83, "connect": 42, "sendto": 44}
for folder in ("one", "two"):
    os.mkdir(folder)
    for name in ("unlink", "rename", "chmod", "open"):
        os.close(os.open(f"{folder}/{name}", os.O_CREAT | os.O_WRONLY))
memory = mmap.mmap(-1, 2 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
faults = libc.syscall(323, os.O_CLOEXEC)
if faults < 0:
    sys.exit("userfaultfd: " + os.strerror(ctypes.get_errno()))
fcntl.ioctl(faults, 0xC018AA3F, bytearray(struct.pack("=QQQ", 0xAA, 0, 0)))  # UFFDIO_API
fcntl.ioctl(faults, 0xC020AA00, bytearray(struct.pack("=QQQQ", base + PAGE, PAGE, 1, 0)))  # UFFDIO_REGISTER
page = ctypes.create_string_buffer(2 * PAGE)
aligned = (ctypes.addressof(page) + PAGE - 1) & -PAGE


def supply(decoy):
    """Waits until the second page is needed; changes the first, then gives the second."""
    os.read(faults, 32)
    memory[PAGE - len(decoy) : PAGE] = decoy
    fcntl.ioctl(faults, 0xC028AA03, bytearray(struct.pack("=QQQQq", base + PAGE, aligned, PAGE, 0, 0)))  # UFFDIO_COPY


def call(name, begin, decoy, end, *arguments):
    """Makes a call with an argument that lies on both pages: `begin` becomes `decoy`. It is where `arguments` has None."""
    assert len(begin) == len(decoy) and len(begin) % 8 == 0
    memory[PAGE - len(begin) : PAGE] = begin
    ctypes.memset(aligned, 0, PAGE)
    ctypes.memmove(aligned, end, len(end))
    thread = threading.Thread(target=supply, args=(decoy,))
    thread.start()
    at = base + PAGE - len(begin)
    result = libc.syscall(ctypes.c_long(NR[name]), *(ctypes.c_long(at if one is None else one) for one in arguments))
    assert result >= 0, (name, os.strerror(ctypes.get_errno()))
    thread.join()
    assert memory[PAGE - len(begin) : PAGE] == decoy
    assert libc.madvise(ctypes.c_void_p(base + PAGE), PAGE, 4) == 0  # MADV_DONTNEED
    return result


def by_path(name, *more):
    ino = os.stat(f"one/{name}").st_ino if name != "mkdir" else None
    call(name, b"one/////////////", b"two/////////////", name.encode() + b"\0", *more)
    print(name, ino or os.stat("one/mkdir").st_ino, flush=True)


to = ctypes.create_string_buffer(b"one/renamed")
by_path("open", None, os.O_RDONLY)
by_path("chmod", None, 0o600)
by_path("rename", None, ctypes.addressof(to))
by_path("unlink", None)
by_path("mkdir", None, 0o700)
for name in ("unlink", "rename", "chmod", "open"):
    assert os.stat(f"two/{name}").st_mode & 0o777 != 0o600


def address(port):
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + socket.inet_aton("127.0.0.1")


for name, kind in (("connect", socket.SOCK_STREAM), ("sendto", socket.SOCK_DGRAM)):
    ends = [socket.socket(socket.AF_INET, kind) for _ in range(3)]
    for end in ends[:2]:
        end.bind(("127.0.0.1", 0))
    real, decoy = (end.getsockname()[1] for end in ends[:2])
    if name == "connect":
        ends[0].listen()
        call(name, address(real), address(decoy), bytes(8), ends[2].fileno(), None, 16)
    else:
        call(name, address(real), address(decoy), bytes(8), ends[2].fileno(), base, 1, 0, None, 16)
    print(name, real, flush=True)
