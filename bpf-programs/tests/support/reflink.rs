//! Files that share blocks, by ioctl: the bytes count as read from one and written to the other. The file system is XFS on a
//! loop device; its image was made by `mkfs.xfs --unsupported -m crc=1,reflink=1,finobt=0 -i sparse=0 -d agcount=1` on 16 MiB.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::{Details, Record};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::support::{Kernel, Lacking, decode, tier};
use crate::usage::{self, Sums};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[("usage_of_files_that_share_blocks", shared)];

const IMAGE: &[u8] = include_bytes!("reflink.img.gz");

/// The calls: whole files, a range, a range of equal bytes with three destinations of which one is refused, and what is refused.
const SCRIPT: &str = r#"
open(N, '<', '/dev/null') or die; $n = fileno N;
sub share { ioctl(G, $_[0], $_[1]) or die "$_[0]: $!" }
share(0x40049409, $f + 0); share(0x4020940d, pack('qQQQ', $f, 0, 0, 0));
sub to { pack('qQQlL', $_[0], 0, 0, 0, 0) }
ioctl(F, 0xc0189436, pack('QQSSL', 0, 1000, 3, 0, 0) . to($g) . to($n) . to($g)) or die "dedupe: $!";
ioctl(G, 0x40049409, $n + 0) and die; ioctl(G, 0x4020940d, pack('qQQQ', $f, 1, 5, 3)) and die;
"#;

/// File systems that are mounted for this test.
struct Mounts(Vec<PathBuf>);

impl Drop for Mounts {
    fn drop(&mut self) {
        for at in self.0.iter().rev() {
            let _ = umount2(at, MntFlags::MNT_DETACH);
        }
    }
}

/// Mounts the image.
fn mount_image(folder: &Path, at: &Path) -> anyhow::Result<()> {
    let image = folder.join("image");
    let mut gzip = Command::new("gzip");
    let mut gzip = gzip.arg("-dc").stdin(Stdio::piped()).stdout(File::create(&image)?).spawn()?;
    gzip.stdin.take().context("no input")?.write_all(IMAGE)?;
    ensure!(gzip.wait()?.success(), "gzip failed");
    let made = Command::new("mount").args(["-t", "xfs", "-o", "loop"]).arg(&image).arg(at).output()?;
    let why = String::from_utf8_lossy(&made.stderr).into_owned();
    ensure!(!why.contains("unknown filesystem"), Lacking("XFS"));
    ensure!(made.status.success(), "{why}");
    Ok(())
}

fn shared() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (below, merged) = (folder.path().join("below"), folder.path().join("merged"));
    fs::create_dir(&below)?;
    fs::create_dir(&merged)?;
    mount_image(folder.path(), &below)?;
    let mut mounts = Mounts(vec![below.clone()]);
    for name in ["lower", "upper", "work"] {
        fs::create_dir(below.join(name))?;
    }
    // What lies below is copied up by the first open for writing, by sharing blocks.
    usage::fill(&below.join("lower"))?;
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| below.join(name).display().to_string());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    mount(Some("overlay"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    mounts.0.push(merged.clone());
    let mut kernel = Kernel::start()?;
    usage::fill(&below)?;
    for files in [&below, &merged] {
        let pid = usage::perl(&format!("for (1..{TIMES}) {{ {SCRIPT} }}"), files)?;
        kernel.drain();
        let found = usage::sums(&usage::reported(&kernel, pid)?);
        ensure!(found == expected(), "{files:?}: {found:?} is not {:?}", expected());
        for bytes in kernel.of(pid, Kind::Usage) {
            let Record { identity, details: Details::Usage(usage), .. } = decode(Kind::Usage, &bytes)? else {
                continue;
            };
            // The other tiers read descriptors in the caller's memory.
            let unverified = tier() != Tier::Function && usage.via.contains(&"dedupe_range");
            ensure!(identity.context("no identity")?.unverified == unverified, "{usage:?}");
        }
    }
    Ok(())
}

/// Returns the sums of both files.
fn expected() -> Sums {
    let ways = ["clone_range", "dedupe_range"];
    let times = TIMES as u64 * 4;
    let one = |name: &str, direction| ((name.to_owned(), direction), (1000 * times, times, ways.to_vec()));
    Sums::from([one("held", 'r'), one("other", 'w')])
}
