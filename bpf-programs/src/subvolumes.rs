//! Finds out where the kernel keeps the device of a btrfs subvolume, so that files have the device that `stat` shows.
//!
//! Each subvolume of btrfs counts its inodes alone: without its device, files of two subvolumes would have one identity. Btrfs
//! is mostly a module, whose types are not in the kernel's own type information; so the positions are constants of the object.

use std::fs;

use crate::facts;
use crate::prototypes::Types;

/// Type information of the module.
const MODULE: &str = "/sys/kernel/btf/btrfs";

/// Positions in the structs of btrfs; with `device` 0 they are not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Positions {
    /// Position of the subvolume's address, counted from a file's inode.
    pub(crate) subvolume: i32,
    /// Position of the device in the subvolume.
    pub(crate) device: u32,
}

impl Positions {
    /// Finds the positions for the running kernel. A module that is loaded later is not known.
    pub(crate) fn of_this_kernel() -> Self {
        let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if is_hidden() || !known.lines().any(|line| line.trim() == "btrfs") {
            return Self::default();
        }
        let kernel = fs::read(facts::BTF).unwrap_or_default();
        let module = fs::read(MODULE).ok();
        Self::find(&kernel, module.as_deref()).unwrap_or_else(|| {
            tracing::warn!("the type information of btrfs lacks what shows the subvolume of a file");
            Self::default()
        })
    }

    fn find(kernel: &[u8], module: Option<&[u8]>) -> Option<Self> {
        let kernel = Types::parse(kernel)?;
        let of_module = module.and_then(|module| Types::of_module(module, &kernel));
        let types = of_module.as_ref().unwrap_or(&kernel);
        let [subvolume, inode] = types.positions("btrfs_inode", ["root", "vfs_inode"])?;
        let [device] = types.positions("btrfs_root", ["anon_dev"])?;
        Some(Self { subvolume: subvolume as i32 - inode as i32, device })
    }
}

/// Returns whether a test has this agent not know them.
fn is_hidden() -> bool {
    cfg!(feature = "fault-injection") && std::env::var_os("DUETECTOR_FAULT_SUBVOLUMES").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prototypes::with_structs;

    #[test]
    fn positions_are_found_in_the_kernel_or_the_module() {
        let structs: [(&str, &[(&str, u32)]); 3] = [
            ("btrfs_root", &[("node", 0)]),
            ("btrfs_inode", &[("root", 8), ("flags", 16), ("vfs_inode", 640)]),
            ("btrfs_root", &[("node", 0), ("anon_dev", 1100)]),
        ];
        let right = Positions { subvolume: -632, device: 1100 };
        let (whole, nothing) = (with_structs(&[], &structs), with_structs(&[], &[]));
        assert_eq!(Positions::find(&whole, None), Some(right));
        assert_eq!(Positions::find(&nothing, None), None);
        // The kernel's names come first, and some of the module's are among them.
        let kernel = with_structs(&[], &[("inode", &[("root", 0)])]);
        let module = with_structs(&kernel, &structs);
        assert_eq!(Positions::find(&kernel, Some(&module)), Some(right));
    }
}
