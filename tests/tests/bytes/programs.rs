//! Programs that move bytes in their own ways, under ptrace.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::workload::succeed;
use tests::{binary, workload::PYTHON};

use crate::{Sums, field};

pub(crate) const UID: u32 = 9958;
/// Neither a whole number of pages nor of anybody's buffers.
const SIZE: usize = 3_141_593;

/// Commands run on `source`, each in a folder of its own.
const PROGRAMS: &[&[&str]] = &[
    &["dd", "if=source", "of=copy", "bs=1000", "status=none"],
    &["dd", "if=source", "of=copy", "bs=64K", "skip=3", "seek=5", "count=7", "conv=notrunc", "status=none"],
    &["cp", "source", "copy"],
    &["cp", "--reflink=never", "--sparse=always", "source", "copy"],
    &["cat", "source", "source"],
    &["sh", "-c", "cat source - < source > copy"],
    &["sh", "-c", "cat < source | head -c 100000 > copy"],
    &["tar", "-cf", "archive", "source"],
    &["sh", "-c", "tar -cf archive source && mkdir out && tar -xf archive -C out"],
    &["sh", "-c", "tar -czf archive source && tar -tzf archive"],
    &["rsync", "-a", "source", "copy"],
    // Its second run reads both and finds what differs.
    &["sh", "-c", "cp source copy && printf x >> copy && rsync -a --no-whole-file --checksum source copy"],
    &["perl", "-e", "open F,'source'; open G,'>copy'; while (sysread F, $b, 777) { syswrite G, $b }"],
    &["perl", "-e", "open F,'source'; open G,'>>copy'; print G while <F>"],
    &["fio", "--name=job", "--filename=source", "--ioengine=mmap", "--rw=randrw", "--bs=512", "--size=1m"],
    &["fio", "--name=job", "--filename=source", "--ioengine=vsync", "--rw=randrw", "--bs=1000", "--size=1m"],
    &["fio", "--name=job", "--filename=source", "--ioengine=splice", "--rw=randrw", "--bs=5000", "--size=1m"],
    &[PYTHON, "-c", SENDFILE],
    &[PYTHON, "-c", COPY_FILE_RANGE],
    &[PYTHON, "-c", SPLICE],
    &[PYTHON, "-c", VECTORS],
    &[PYTHON, "-c", MAPPED],
    &[PYTHON, "-c", INHERITED],
    &[PYTHON, "-c", PASSED],
    &[PYTHON, "-c", NAMELESS],
    &[PYTHON, "-c", THREADS],
    &[PYTHON, "-c", FAILING],
];

const SENDFILE: &str = "
import os
f, g = os.open('source', 0), os.open('copy', os.O_CREAT | os.O_WRONLY)
while os.sendfile(g, f, None, 100001): pass
os.sendfile(g, f, 17, 4711)
";

const COPY_FILE_RANGE: &str = "
import os
f, g = os.open('source', 0), os.open('copy', os.O_CREAT | os.O_RDWR)
while os.copy_file_range(f, g, 65537): pass
os.copy_file_range(f, g, 1001, 5, 7)
os.copy_file_range(g, g, 500, 0, 100000)
";

const SPLICE: &str = "
import os
f, g = os.open('source', 0), os.open('copy', os.O_CREAT | os.O_WRONLY)
r, w = os.pipe()
while n := os.splice(f, w, 60000):
    while n: n -= os.splice(r, g, n)
";

const VECTORS: &str = "
import os
f, g = os.open('source', 0), os.open('copy', os.O_CREAT | os.O_RDWR)
parts = [bytearray(1000), bytearray(1), bytearray(2000)]
for at in range(0, 100000, 3333):
    os.readv(f, parts); os.writev(g, parts)
    os.preadv(f, parts, at); os.pwritev(g, parts, at)
    os.preadv(f, parts, at, os.RWF_HIPRI); os.pwritev(g, parts, at, os.RWF_DSYNC)
    os.pread(f, 333, at); os.pwrite(g, b'x' * 17, at)
os.pread(f, 1000, 3141593); os.pread(f, 1000, 3141592)
";

const MAPPED: &str = "
import mmap, os
f, g = os.open('source', 0), os.open('copy', os.O_CREAT | os.O_RDWR)
os.ftruncate(g, 100000)
m, n = mmap.mmap(f, 0, prot=mmap.PROT_READ), mmap.mmap(g, 65536, offset=4096)
n[:] = m[:65536]
mmap.mmap(g, 5000, flags=mmap.MAP_PRIVATE)[3]
";

const INHERITED: &str = "
import os
f, g = os.open('source', 0), os.open('copy', os.O_CREAT | os.O_WRONLY)
os.read(f, 1000)
for n in range(3):
    if not os.fork():
        os.write(os.dup(g), os.read(f, 1001 * (n + 1))); os._exit(0)
for n in range(3): os.wait()
os.dup2(f, 0)
os.execvp('head', ['head', '-c', '5000'])
";

const PASSED: &str = "
import array, os, socket
a, b = socket.socketpair()
if not os.fork():
    f, g = socket.recv_fds(b, 10, 2)[1]
    while part := os.read(f, 54321): os.write(g, part)
    os._exit(0)
f, g = os.open('source', 0), os.open('copy', os.O_CREAT | os.O_WRONLY)
socket.send_fds(a, [b'x'], [f, g]); os.wait()
";

const NAMELESS: &str = "
import os
f, g = os.open('source', 0), os.open('.', os.O_TMPFILE | os.O_RDWR)
os.write(g, os.read(f, 100000)); os.pread(g, 5000, 3)
h = os.open('gone', os.O_CREAT | os.O_RDWR); os.unlink('gone')
os.write(h, b'y' * 12345); os.pread(h, 99999, 0)
";

const THREADS: &str = "
import os, threading
f, g = os.open('source', 0), os.open('copy', os.O_CREAT | os.O_WRONLY)
def work(n):
    for at in range(n, 300, 4): os.pwrite(g, os.pread(f, 1000 + n, at * 1000), at * 1000)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()
";

/// Calls that fail, which count nothing.
const FAILING: &str = "
import os
f, g = os.open('source', 0), os.open('copy', os.O_CREAT | os.O_WRONLY)
def failing(call, *arguments):
    try: call(*arguments)
    except OSError: return
    raise SystemExit('it did not fail')
for n in range(23):
    failing(os.write, f, b'x'); failing(os.read, g, 10); failing(os.pread, f, 10, -1)
    failing(os.sendfile, f, g, 0, 10); failing(os.copy_file_range, g, f, 10)
    os.read(f, 0); os.write(g, b'')
";

/// Runs them all; what ptrace counted.
pub(crate) fn run(folder: &Path) -> Sums {
    let content: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let mut sums = Sums::new();
    for (number, program) in PROGRAMS.iter().enumerate() {
        let own = folder.join(number.to_string());
        fs::create_dir(&own).unwrap();
        fs::write(own.join("source"), &content).unwrap();
        for path in [own.join("source"), own.clone()] {
            chown(path, Some(UID), Some(UID)).unwrap();
        }
        let mut command = Command::new(binary::program("byte_count"));
        command.args(["--uid", &UID.to_string(), "--below"]).arg(folder).arg("--").args(*program);
        let output = succeed(command.current_dir(&own));
        let counted: Value = serde_json::from_slice(&output.stdout).unwrap();
        let counted = counted["bytes"].as_array().unwrap();
        assert!(!counted.is_empty(), "{program:?} did nothing with a file");
        for of in counted {
            let direction = of["direction"].as_str().unwrap().to_owned();
            let key = (of["pid"].as_i64().unwrap(), field(of, "ino"), direction);
            sums.insert(key, (field(of, "bytes"), field(of, "calls")));
        }
    }
    sums
}
