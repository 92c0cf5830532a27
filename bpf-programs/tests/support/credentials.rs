//! Processes in records: users and namespaces in the header, the agent, and target processes that the caller names by their
//! pid in a namespace.

use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::testing::{Header, Kind, Settings};
use model::{ActField, Details, ExecId};

use crate::Test;
use crate::support::{Kernel, decode};

pub const TESTS: &[Test] = &[
    ("header_has_each_user_and_namespace", each),
    ("agent_is_not_whoever_starts_its_iterator", only_with_proof),
    ("kill_in_a_pid_namespace_names_its_target", named_by_inner_number),
];

/// Logs in, takes a network of its own, and gives each of the user ids another value. Prints what `/proc` says.
const PROGRAM: &str = "
import ctypes, os
libc = ctypes.CDLL(None)
def read(name):
    try:
        return int(open('/proc/self/' + name).read())
    except FileNotFoundError:
        return 2**32 - 1
if read('loginuid') == 2**32 - 1 and os.path.exists('/proc/self/loginuid'):
    open('/proc/self/loginuid', 'w').write('64000')
assert libc.unshare(0x40000000) == 0
login, session, net = read('loginuid'), read('sessionid'), os.stat('/proc/self/ns/net').st_ino
os.setresuid(64001, 0, 0)
libc.setfsuid(64002)
open('/dev/../dev/null')
print(login, session, net)
";

fn each() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let child = Command::new("python3").args(["-c", PROGRAM]).stdout(std::process::Stdio::piped()).spawn()?;
    let pid = child.id();
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    let expected: Vec<u32> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let set = |id: u32| (id != u32::MAX).then_some(id);
    kernel.drain();
    for bytes in kernel.of(pid, Kind::Open) {
        let record = decode(Kind::Open, &bytes)?;
        let (Some(who), Details::Open(open)) = (record.identity, record.details) else { continue };
        if open.path_asked.as_bytes() == b"/dev/../dev/null" {
            ensure!([who.loginuid, who.sessionid] == [set(expected[0]), set(expected[1])], "{who:?} {text}");
            ensure!(who.net_ns == Some(expected[2]), "{who:?} {text}");
            ensure!((who.uid, who.ruid, who.fsuid) == (0, 64_001, 64_002), "{who:?}");
            return Ok(());
        }
    }
    None.context("the open was not recorded")
}

/// Root starts the agent's iterator over processes by the number of its program, reads it, and opens a file.
const THIEF: &str = "
import ctypes, os, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NR = {'x86_64': 321, 'aarch64': 280}[os.uname().machine]
def bpf(command, *words):
    attributes = ctypes.create_string_buffer(struct.pack('%dI' % len(words), *words), 128)
    return libc.syscall(NR, command, attributes, 128), attributes
def name_of(program):
    info = ctypes.create_string_buffer(256)
    attributes = ctypes.create_string_buffer(struct.pack('IIQ', program, 256, ctypes.addressof(info)), 128)
    assert libc.syscall(NR, 15, attributes, 128) == 0
    return info.raw[64:80].split(b'\\0')[0]
number, found = 0, 0
while True:
    result, attributes = bpf(11, number)
    if result != 0:
        break
    number = struct.unpack_from('I', attributes, 4)[0]
    program, _ = bpf(13, number)
    if program >= 0 and name_of(program) == b'processes':
        link, _ = bpf(28, program, 0, 28)
        assert link >= 0, ctypes.get_errno()
        reader, _ = bpf(33, link)
        assert reader >= 0, ctypes.get_errno()
        while os.read(reader, 65536):
            found += 1
assert found
open('/dev/../dev/null')
";

fn only_with_proof() -> anyhow::Result<()> {
    let opened = |kernel: &Kernel, pid: u32| -> anyhow::Result<usize> {
        let records = kernel.of(pid, Kind::Open);
        let asked = |bytes: &Vec<u8>| {
            let Details::Open(open) = decode(Kind::Open, bytes).ok()?.details else { return None };
            (open.path_asked.as_bytes() == b"/dev/../dev/null").then_some(())
        };
        Ok(records.iter().filter_map(asked).count())
    };
    let mut kernel = Kernel::start()?;
    let mut thief = Command::new("python3").args(["-c", THIEF]).spawn()?;
    ensure!(thief.wait()?.success(), "the iterator could not be started");
    kernel.drain();
    ensure!(opened(&kernel, thief.id())? == 1, "who has read the iterator is recorded");
    // Who has the proof in memory is the agent.
    let proof = Box::new(0x1234_5678_9abc_def1_u64);
    let proof_at = std::hint::black_box(std::ptr::from_ref::<u64>(&proof)).expose_provenance() as u64;
    kernel.set(|settings| *settings = Settings { proof: *proof, proof_at, ..*settings })?;
    kernel.processes()?;
    std::fs::File::open("/dev/../dev/null")?;
    kernel.drain();
    ensure!(opened(&kernel, std::process::id())? == 0, "the agent is recorded");
    kernel.set(|_| {})?;
    std::fs::File::open("/dev/../dev/null")?;
    kernel.drain();
    ensure!(opened(&kernel, std::process::id())? == 1, "the test is no agent any more");
    drop(std::hint::black_box(proof));
    Ok(())
}

/// Traces and kills a child in a pid namespace, by the pid that the child has there.
const KILLER: &str = "
import ctypes, os, signal
own = os.readlink('/proc/self')
reader, writer = os.pipe()
child = os.fork()
if not child:
    os.write(writer, os.readlink('/proc/self').encode())
    signal.pause()
outer = os.read(reader, 32).decode()
assert ctypes.CDLL(None).ptrace(16, child, None, None) == 0
os.waitpid(child, 0)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print(own, outer, child)
";

fn named_by_inner_number() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let output = Command::new("unshare").args(["--pid", "--fork", "python3", "-c", KILLER]).output()?;
    ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<u32> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [own, outer, inner] = numbers[..] else { anyhow::bail!("{text}") };
    ensure!(outer != inner, "{text}");
    kernel.drain();
    let end = Header::parse(kernel.of(outer, Kind::Exit).first().context("no exit")?)?;
    for kind in [Kind::Kill, Kind::Ptrace] {
        let rows = kernel.of(own, kind);
        ensure!(rows.len() == 1, "{} rows of {kind:?}", rows.len());
        let Details::Act(act) = decode(kind, &rows[0])?.details else { anyhow::bail!("no act") };
        ensure!(act.fields.contains(&("target_ns_pid", ActField::Int(inner.into()))), "{act:?}");
        ensure!(act.fields.contains(&("target_pid", ActField::Int(outer.into()))), "{act:?}");
        ensure!(act.target == Some(ExecId { pid: outer, start_ns: end.start_ns }), "{act:?} {text}");
    }
    Ok(())
}
