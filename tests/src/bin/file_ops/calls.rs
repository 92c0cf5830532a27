//! The calls: each counted, whether it succeeds or not, for the tracer that records it.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{chown, lchown};
use std::path::Path;

use nix::fcntl::{
    AT_FDCWD, AtFlags, FallocateFlags, OFlag, RenameFlags, fallocate, open, openat, renameat, renameat2,
};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmod, fchmodat, mkdirat, mknod, mknodat};
use nix::unistd::{
    Gid, Uid, UnlinkatFlags, fchown, fchownat, ftruncate, linkat, symlinkat, truncate, unlinkat, write,
};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::names;

/// How many calls there were.
#[derive(Default)]
pub(crate) struct Calls(BTreeMap<&'static str, u64>);

impl Calls {
    /// Returns the number of calls by tracer.
    pub(crate) fn counts(self) -> BTreeMap<&'static str, u64> {
        self.0
    }

    /// Counts a call; whether it succeeds is no matter.
    fn call<T, E>(&mut self, tracer: &'static str, result: Result<T, E>) -> Option<T> {
        *self.0.entry(tracer).or_default() += 1;
        result.ok()
    }

    /// Does one random operation in `area`.
    pub(crate) fn step(&mut self, random: &mut StdRng, area: &Path) {
        match random.random_range(0..100) {
            0..12 => self.create(random, area),
            12..22 => self.write(random, area),
            22..36 => self.rename(random, area),
            36..46 => self.unlink(random, area),
            46..55 => self.link(random, area),
            55..61 => self.symlink(random, area),
            61..68 => self.truncate(random, area),
            68..76 => self.chmod(random, area),
            76..83 => self.chown(random, area),
            83..92 => self.folder(random, area),
            92..95 => self.special(random, area),
            95..98 => self.renamed_folder(random, area),
            _ => self.nameless(random, area),
        }
    }

    /// A file of the thread's own that never had another name becomes everybody's.
    pub(crate) fn give_away(&mut self, random: &mut StdRng, own: &Path, shared: &Path) {
        // Not a name that any step tries.
        let gift = own.join("gift");
        let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        drop(self.call("open", open(&gift, flags, mode(random, 0o777))));
        let to = names::file(random, shared);
        if self.call("rename", fs::rename(&gift, to)).is_none() {
            self.call("unlink", fs::remove_file(&gift));
        }
    }

    pub(crate) fn mkdir(&mut self, path: &Path, bits: u32) {
        self.call("mkdir", nix::unistd::mkdir(path, Mode::from_bits_truncate(bits)));
    }

    /// Not blocking: the name may be a fifo's.
    fn open(&mut self, path: &Path, flags: OFlag, mode: Mode) -> Option<OwnedFd> {
        self.call("open", open(path, flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, mode))
    }

    fn create(&mut self, random: &mut StdRng, area: &Path) {
        let mut flags = OFlag::O_CREAT | OFlag::O_WRONLY;
        flags.set(OFlag::O_EXCL, random.random_ratio(1, 3));
        flags.set(OFlag::O_TRUNC, random.random_ratio(1, 3));
        let path = names::file(random, area);
        let Some(file) = self.open(&path, flags, mode(random, 0o777)) else { return };
        match random.random_range(0..6) {
            0 => drop(self.call("truncate", ftruncate(&file, random.random_range(0..20_000)))),
            1 => self.fallocate(random, &file),
            2 => drop(self.call("attr", fchmod(&file, mode(random, 0o777)))),
            3 => drop(self.call("attr", fchown(&file, Some(Uid::from_raw(owner(random))), None))),
            _ => {}
        }
    }

    fn fallocate(&mut self, random: &mut StdRng, file: &OwnedFd) {
        const BLOCK: i64 = 4096;
        let (keep, zero) = (FallocateFlags::FALLOC_FL_KEEP_SIZE, FallocateFlags::FALLOC_FL_ZERO_RANGE);
        let flags = [
            FallocateFlags::empty(),
            keep,
            keep | FallocateFlags::FALLOC_FL_PUNCH_HOLE,
            zero,
            zero | keep,
            FallocateFlags::FALLOC_FL_COLLAPSE_RANGE,
            FallocateFlags::FALLOC_FL_INSERT_RANGE,
        ][random.random_range(0..7)];
        let (offset, length) = (random.random_range(0..4) * BLOCK, random.random_range(1..4) * BLOCK);
        self.call("truncate", fallocate(file, flags, offset, length));
    }

    /// Only at the end of what is there, or from the beginning of nothing: so the bytes written tell the size.
    fn write(&mut self, random: &mut StdRng, area: &Path) {
        let mut flags = OFlag::O_CREAT | OFlag::O_WRONLY;
        flags |= if random.random_ratio(1, 2) { OFlag::O_APPEND } else { OFlag::O_TRUNC };
        let path = names::file(random, area);
        let Some(file) = self.open(&path, flags, mode(random, 0o777)) else { return };
        let bytes = [b'x'; 5000];
        for _ in 0..random.random_range(1..5) {
            // What is written is compared at the end; that it is written short is as good.
            let _ = write(&file, &bytes[..random.random_range(1..bytes.len())]);
        }
    }

    fn rename(&mut self, random: &mut StdRng, area: &Path) {
        let (from, to) = match random.random_ratio(1, 3) {
            true => (names::folder(random, area), names::folder(random, area)),
            false => (names::file(random, area), names::any(random, area)),
        };
        let with = |flags| renameat2(AT_FDCWD, &from, AT_FDCWD, &to, flags).ok();
        let done = match random.random_range(0..10) {
            0 => with(RenameFlags::RENAME_NOREPLACE),
            1 => with(RenameFlags::RENAME_EXCHANGE),
            2 => with(RenameFlags::RENAME_WHITEOUT),
            3..6 => renameat(AT_FDCWD, &from, AT_FDCWD, &to).ok(),
            _ => fs::rename(&from, &to).ok(),
        };
        self.call("rename", done.ok_or(()));
    }

    fn unlink(&mut self, random: &mut StdRng, area: &Path) {
        let (file, folder) = (names::file(random, area), names::folder(random, area));
        match random.random_range(0..6) {
            0 | 1 => drop(self.call("unlink", fs::remove_file(file))),
            2 | 3 => drop(self.call("unlink", unlinkat(AT_FDCWD, &file, UnlinkatFlags::NoRemoveDir))),
            4 => drop(self.call("unlink", fs::remove_dir(folder))),
            _ => drop(self.call("unlink", unlinkat(AT_FDCWD, &folder, UnlinkatFlags::RemoveDir))),
        }
    }

    fn link(&mut self, random: &mut StdRng, area: &Path) {
        let (from, to) = (names::file(random, area), names::file(random, area));
        let flags = if random.random_ratio(1, 2) { AtFlags::AT_SYMLINK_FOLLOW } else { AtFlags::empty() };
        self.call("link", linkat(AT_FDCWD, &from, AT_FDCWD, &to, flags));
    }

    fn symlink(&mut self, random: &mut StdRng, area: &Path) {
        let (target, path) = (names::target(random, area), names::any(random, area));
        match random.random_ratio(1, 2) {
            true => self.call("link", std::os::unix::fs::symlink(target, path).ok().ok_or(())),
            false => self.call("link", symlinkat(&target, AT_FDCWD, &path).map_err(drop)),
        };
    }

    fn truncate(&mut self, random: &mut StdRng, area: &Path) {
        let path = names::file(random, area);
        self.call("truncate", truncate(&path, random.random_range(-1..20_000)));
    }

    fn chmod(&mut self, random: &mut StdRng, area: &Path) {
        let path = names::any(random, area);
        match random.random_range(0..3) {
            // Bits that mean something for folders only, so only of what is one.
            0 => {
                let Some(folder) = self.open(&path, OFlag::O_DIRECTORY, Mode::empty()) else { return };
                self.call("attr", fchmod(&folder, mode(random, 0o3777)));
            }
            1 => {
                let (mode, flags) = (mode(random, 0o777), FchmodatFlags::FollowSymlink);
                self.call("attr", fchmodat(AT_FDCWD, &path, mode, flags));
            }
            _ => {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(mode(random, 0o777).bits());
                self.call("attr", fs::set_permissions(path, mode));
            }
        }
    }

    fn chown(&mut self, random: &mut StdRng, area: &Path) {
        let path = names::any(random, area);
        let (uid, gid) = (Some(owner(random)), random.random_ratio(1, 2).then(|| owner(random)));
        match random.random_range(0..3) {
            0 => drop(self.call("attr", chown(path, uid, gid))),
            1 => drop(self.call("attr", lchown(path, None, gid))),
            _ => {
                let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
                let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
                self.call("attr", fchownat(AT_FDCWD, &path, uid, gid, flags));
            }
        }
    }

    fn folder(&mut self, random: &mut StdRng, area: &Path) {
        let path = names::folder(random, area);
        let mode = mode(random, 0o1777);
        match random.random_ratio(1, 2) {
            true => self.call("mkdir", nix::unistd::mkdir(&path, mode)),
            false => self.call("mkdir", mkdirat(AT_FDCWD, &path, mode)),
        };
    }

    fn special(&mut self, random: &mut StdRng, area: &Path) {
        let path = names::file(random, area);
        // 1, 3 is /dev/null.
        let (kind, device) = [
            (SFlag::S_IFIFO, 0),
            (SFlag::S_IFSOCK, 0),
            (SFlag::S_IFREG, 0),
            (SFlag::S_IFCHR, nix::sys::stat::makedev(1, 3)),
        ][random.random_range(0..4)];
        let mode = mode(random, 0o777);
        match random.random_ratio(1, 2) {
            true => self.call("mkdir", mknod(&path, kind, mode, device)),
            false => self.call("mkdir", mknodat(AT_FDCWD, &path, kind, mode, device)),
        };
    }

    /// By a descriptor of a folder that has got another name since.
    fn renamed_folder(&mut self, random: &mut StdRng, area: &Path) {
        let (old, new) = (names::folder(random, area), names::folder(random, area));
        let flags = OFlag::O_DIRECTORY | OFlag::O_PATH;
        let Some(folder) = self.open(&old, flags, Mode::empty()) else { return };
        self.call("rename", fs::rename(old, new));
        let (name, other) = (names::file_name(random), names::file_name(random));
        let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        drop(self.call("open", openat(&folder, name.as_str(), flags, mode(random, 0o777))));
        self.call("rename", renameat(&folder, name.as_str(), folder.as_fd(), other.as_str()));
        self.call("link", linkat(&folder, other.as_str(), &folder, name.as_str(), AtFlags::empty()));
        self.call("mkdir", mkdirat(&folder, names::folder_name(random).as_str(), mode(random, 0o777)));
    }

    /// A file that has no name at first, and gets one then.
    fn nameless(&mut self, random: &mut StdRng, area: &Path) {
        let flags = OFlag::O_TMPFILE | OFlag::O_WRONLY;
        let Some(file) = self.open(area, flags, mode(random, 0o777)) else { return };
        self.call("truncate", ftruncate(&file, random.random_range(0..20_000)));
        let path = names::file(random, area);
        self.call("link", linkat(&file, "", AT_FDCWD, &path, AtFlags::AT_EMPTY_PATH));
    }
}

fn mode(random: &mut StdRng, within: u32) -> Mode {
    Mode::from_bits_truncate(random.random_range(0..=within) & within)
}

/// Ids that nobody has.
fn owner(random: &mut StdRng) -> u32 {
    99_000 + random.random_range(0..3)
}
