"""Does each recorded operation once, in the given folder; prints the ids of its child processes."""
import ctypes
import os
import signal
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
folder = sys.argv[1]
os.chdir(folder)


def attempt(what, *arguments, **options):
    try:
        return what(*arguments, **options)
    except OSError:
        return None


def child(what):
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return pid
    attempt(what)
    os._exit(3)


# Files: calls that succeed and calls that fail.
held = os.open("held", os.O_RDWR | os.O_CREAT, 0o640)
attempt(os.open, "missing/file", os.O_RDONLY)
os.write(held, b"x" * 5000)
os.pread(held, 100, 7)
os.writev(held, [b"ab", b"cde"])
other = os.open("other", os.O_RDWR | os.O_CREAT)
os.sendfile(other, held, 0, 50)
os.copy_file_range(held, other, 20, 0, 60)
os.ftruncate(held, 10)
os.truncate("held", 20)
attempt(os.truncate, "missing", 1)
os.posix_fallocate(held, 0, 100)
libc.fallocate(held, 1, ctypes.c_long(0), ctypes.c_long(4096))
os.close(other)
os.rename("other", "renamed")
attempt(os.rename, "other", "renamed")
os.link("renamed", "linked")
os.symlink("a target", "symbolic")
attempt(os.link, "missing", "linked")
os.mkdir("made", 0o711)
attempt(os.mkdir, "made")
os.mkfifo("fifo")
os.chmod("held", 0o600)
attempt(os.chmod, "missing", 0o600)
os.chown("held", 5, 6)
os.utime("held", ns=(1_000_000_007, 2_000_000_009))
attempt(os.setxattr, "held", "user.x", b"value")
attempt(os.removexattr, "held", "user.none")
os.unlink("linked")
attempt(os.unlink, "linked")
os.chdir("made")
os.open(".", os.O_RDONLY | os.O_DIRECTORY)
os.chdir("..")
os.rmdir("made")
libc.mount(b"none", b"missing", b"tmpfs", 0, b"size=1m")
libc.umount2(b"missing", 8)

# Sockets.
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(3)
client = socket.socket()
client.connect(server.getsockname())
taken, _ = server.accept()
client.sendall(b"hello")
taken.recv(10)
refused = socket.socket()
attempt(refused.connect, ("127.0.0.1", 1))
client.close()
taken.recv(10)
taken.close()
named = socket.socket(socket.AF_UNIX)
named.bind("socket")
named.listen(1)
peer = socket.socket(socket.AF_UNIX)
peer.connect("socket")
named.accept()[0].close()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.sendto(b"datagram", ("127.0.0.1", 9))
question = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1"
datagrams.sendto(question, ("127.0.0.1", 53))

# Processes and the kernel.
libc.memfd_create(b"work", 1)
libc.chroot(b"/missing")
libc.unshare(0x200)
libc.shmget(0, 0, 0)
libc.msgget(0x7f123456, 0)
libc.ptrace(0x4206, 4194303, 0, 0)
libc.syscall(ctypes.c_long(321), 5, None, 0)
libc.syscall(ctypes.c_long(313), held, b"", 0)
attempt(os.kill, 4194303, 9)
os.kill(os.getpid(), 0)
pids = [
    child(lambda: os.setresuid(7, 8, 9)),
    child(lambda: os.execv("/bin/true", ["true", "an argument"])),
    child(lambda: os.execv("/missing", ["missing"])),
    child(lambda: os.kill(os.getpid(), signal.SIGTERM)),
]
# Of one width, so that the row of this write is the same whatever the numbers are.
print(*(f"{pid:7}" for pid in pids))
