"""Random changes of names by one process, while a second changes the texts of its calls and a third exchanges two of the
folders. Prints a line of JSON for each call: the call, its result, and the files that differ afterwards.

The folders are d0 to d3, also behind the symbolic links s0 to s3, and d0 and d1 also by the bind mounts b0 and b1.
"""
import ctypes, json, mmap, os, signal, sys

os.chdir(sys.argv[1])
COUNT, FOLDERS = int(sys.argv[2]), 4
libc = ctypes.CDLL(None, use_errno=True)
seed = 7


def pick(below):
    global seed
    seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
    return (seed >> 16) % below


for i in range(FOLDERS):
    os.mkdir(f"d{i}")
    os.symlink(f"d{i}", f"s{i}")
assert libc.unshare(0x00020000) == 0 and libc.mount(None, b"/", None, 0x44000, None) == 0
for i in range(2):
    os.mkdir(f"b{i}")
    assert libc.mount(b"d%d" % i, b"b%d" % i, None, 4096, None) == 0
folders = [os.open(f"d{i}", os.O_RDONLY | os.O_DIRECTORY) for i in range(FOLDERS)]
memory = mmap.mmap(-1, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
FIRST, SECOND = 0, 64


def beside(work):
    """Runs a function again and again in another process, until this one ends."""
    child = os.fork()
    if child:
        return child
    libc.prctl(1, signal.SIGKILL)
    i = 0
    while True:
        i += 1
        work(i)


def change_texts(i):
    memory[FIRST + 1] = memory[SECOND + 1] = 48 + (i >> 4) % FOLDERS
    memory[FIRST + 4] = 48 + i % 3
    memory[SECOND + 4] = 48 + (i >> 2) % 3
    memory[FIRST] = memory[SECOND] = b"dsb"[(i >> 6) % 3]


def files():
    found = {}
    for number, folder in enumerate(folders):
        with os.scandir(folder) as entries:
            for entry in entries:
                stat = entry.stat(follow_symlinks=False)
                found[number, entry.name] = stat.st_ino, stat.st_mode, stat.st_size
    return found


def call(i):
    """The name of a call, its number, and its arguments behind the first."""
    second = address + SECOND
    return [
        ("unlink", 87), ("unlink", 87), ("rename", 82, second), ("rename", 82, second), ("link", 86, second), ("rmdir", 84),
        ("mkdir", 83, 0o755), ("mknod", 133, 0o010644, 0), ("symlink", 88), ("chmod", 90, i % 0o400), ("truncate", 76, 1000 + i),
    ][pick(11)]


others = [beside(change_texts), beside(lambda i: libc.syscall(316, -100, b"d2", -100, b"d3", 2))]
for i in range(COUNT):
    folder, name = folders[pick(FOLDERS)], f"f{pick(3)}"
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=folder))
    except OSError:
        pass
    memory[FIRST : FIRST + 6] = b"d%d/f%d\0" % (pick(FOLDERS), pick(3))
    memory[SECOND : SECOND + 6] = b"d%d/f%d\0" % (pick(FOLDERS), pick(3))
    before = files()
    name, number, *more = call(i)
    # symlink has its target first.
    texts = (address + SECOND, address + FIRST) if name == "symlink" else (address + FIRST,)
    ret = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, texts), *map(ctypes.c_long, more))
    ret = -ctypes.get_errno() if ret < 0 else 0
    after = files()
    gone = [(*key, before[key][0]) for key in before if key not in after or after[key][0] != before[key][0]]
    new = [(*key, after[key][0]) for key in after if key not in before or after[key][0] != before[key][0]]
    changed = [(*key, after[key][0]) for key in after if key in before and after[key] != before[key]]
    target = ""
    if name == "symlink" and ret == 0:
        target = os.readlink(new[0][1], dir_fd=folders[new[0][0]])
    print(json.dumps({"call": name, "ret": ret, "gone": gone, "new": new, "changed": changed, "target": target}))
for other in others:
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
