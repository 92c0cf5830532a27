//! The users and the network namespace in the header of each record.

use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::Details;

use crate::Test;
use crate::support::{Kernel, decode};

pub const TESTS: &[Test] = &[("header_has_each_user_and_namespace", each)];

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
