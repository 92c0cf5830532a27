//! Facts about the kernel and this process: kernel version, BTF, tracefs, capabilities. Nothing is changed, except that
//! tracefs is mounted if it is not and permissions allow it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// Type information of the running kernel.
pub(crate) const BTF: &str = "/sys/kernel/btf/vmlinux";
/// Mount points of tracefs, the second on old systems.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// The oldest kernel that has all the helpers used.
pub(crate) const OLDEST: KernelVersion = KernelVersion { major: 5, minor: 15 };

/// A capability that kernel tracers need, by its number in `linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Allows reading any file, here tracefs, which only root can read.
    DacReadSearch = 2,
    /// Implies CAP_BPF and CAP_PERFMON, and allows mounting.
    SysAdmin = 21,
    /// Allows eBPF programs that trace.
    Perfmon = 38,
    /// Allows loading eBPF programs.
    Bpf = 39,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        })
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A set of capabilities as a bit mask, as in `/proc/PID/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    /// Returns this process's effective capabilities; an empty set if they can't be read.
    pub(crate) fn effective() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::parse(&status).unwrap_or_default()
    }

    fn parse(status: &str) -> Option<Self> {
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok().map(Self)
    }

    pub(crate) fn has(self, capability: Capability) -> bool {
        // CAP_SYS_ADMIN, from which 5.8 split off the other two, still implies them.
        let own = self.0 & (1 << capability as u64) != 0;
        let admin = self.0 & (1 << Capability::SysAdmin as u64) != 0;
        own || (admin && matches!(capability, Capability::Bpf | Capability::Perfmon))
    }

    /// Returns the capabilities of `wanted` that are missing.
    pub(crate) fn missing(self, wanted: &[Capability]) -> Vec<Capability> {
        wanted.iter().copied().filter(|capability| !self.has(*capability)).collect()
    }
}

/// Returns whether this process is in a user namespace other than the initial one, where capabilities don't count for
/// eBPF: root of a container may appear privileged without being so.
pub(crate) fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    is_nested(&map)
}

fn is_nested(uid_map: &str) -> bool {
    let first: Vec<&str> = uid_map.lines().next().unwrap_or_default().split_whitespace().collect();
    !first.is_empty() && first != ["0", "0", "4294967295"]
}

/// Returns device and inode of this process's pid namespace, by which the kernel side identifies it.
pub(crate) fn pid_namespace() -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self/ns/pid").ok().map(|namespace| (namespace.dev(), namespace.ino()))
}

/// The first two numbers of a kernel's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct KernelVersion {
    /// The 6 of 6.18.
    pub major: u32,
    /// The 18 of 6.18.
    pub minor: u32,
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl KernelVersion {
    /// Returns the version of the running kernel; `None` if it can't be read.
    pub(crate) fn running() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/sys/kernel/osrelease").ok()?)
    }

    fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

/// Returns the mount point of tracefs, mounting it if necessary.
///
/// # Errors
/// Fails if tracefs can't be mounted or read.
pub(crate) fn tracefs() -> io::Result<PathBuf> {
    if let Some(found) = TRACEFS.iter().map(Path::new).find(|path| is_tracefs(path)) {
        return readable(found);
    }
    let path = Path::new(TRACEFS[0]);
    let none: Option<&str> = None;
    match nix::mount::mount(Some("tracefs"), path, Some("tracefs"), nix::mount::MsFlags::empty(), none) {
        Ok(()) => {
            tracing::info!(path = TRACEFS[0], "mounted tracefs");
            readable(path)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns whether tracefs is mounted there. Asks for the filesystem's type, because only root can see its files.
fn is_tracefs(path: &Path) -> bool {
    const TRACEFS_MAGIC: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x7472_6163);
    nix::sys::statfs::statfs(path).is_ok_and(|found| found.filesystem_type() == TRACEFS_MAGIC)
}

fn readable(path: &Path) -> io::Result<PathBuf> {
    fs::read_dir(path.join("events")).map(|_| path.to_owned())
}

/// Returns the number of CPUs that are present or may be plugged in.
pub(crate) fn possible_cpus() -> u32 {
    aya::util::nr_cpus().map_or(1, |count| u32::try_from(count).unwrap_or(u32::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_status() {
        let some = Capabilities::parse("Name:\tx\nCapEff:\t000000c000000004\n").unwrap();
        assert!(some.missing(&[Capability::Bpf, Capability::Perfmon, Capability::DacReadSearch]).is_empty());
        assert!(!some.has(Capability::SysAdmin));
        let admin = Capabilities::parse("CapEff:\t0000000000200000\n").unwrap();
        assert!(admin.has(Capability::Bpf));
        assert_eq!(admin.missing(&[Capability::DacReadSearch]), [Capability::DacReadSearch]);
    }

    #[test]
    fn versions_are_parsed_as_distributions_write_them() {
        assert_eq!(KernelVersion::parse("6.18.44-fc"), Some(KernelVersion { major: 6, minor: 18 }));
        assert_eq!(KernelVersion::parse("5.15-rc1"), Some(KernelVersion { major: 5, minor: 15 }));
        assert!(KernelVersion { major: 5, minor: 4 } < OLDEST);
        assert_eq!(KernelVersion::parse("x"), None);
    }

    #[test]
    fn a_mapped_user_namespace_is_detected() {
        assert!(!is_nested("         0          0 4294967295\n"));
        assert!(is_nested("         0     100000      65536\n"));
    }
}
