//! Parameters of loading: the kernel's types, the sizes of the object's maps, the initial settings of its programs.

use aya::{Btf, EbpfLoader};
use model::units::Size;

use super::rings;
use crate::catalog::tracers;
use crate::config::EbpfConfig;
use crate::errors::LoadError;
use crate::facts;
use crate::wire::Settings;

/// A ring wakes the agent when 1/N of it is full.
const WAKE_AT: u64 = 4;

/// Parses the kernel's type information. It takes 16 MiB, so the result is not kept.
pub(super) fn kernel_types() -> Result<Btf, LoadError> {
    Btf::from_sys_fs().map_err(|_| LoadError::NoBtf)
}

/// Sets the sizes of all maps that the object leaves open; `used` data rings are used.
pub(super) fn set(loader: &mut EbpfLoader<'_>, config: &EbpfConfig, used: u32) {
    for (number, name) in rings::NAMES.iter().enumerate() {
        let is_used = (number as u32) < used;
        let size = if is_used { ring_size(config.data_ring) } else { page_size() as u32 };
        loader.map_max_entries(name, size);
    }
    loader.map_max_entries("lifecycle", ring_size(config.lifecycle_ring));
    loader.map_max_entries("security", ring_size(config.security_ring));
    for name in ["usage_0", "usage_1", "usage_fds"] {
        loader.map_max_entries(name, config.usage_map);
    }
    loader.map_max_entries("usage_parts", usage_parts_for(config.usage_map));
}

/// Returns the number of parts of long paths for so many entries of the usage ledger, as `PARTS_FOR` in `include/shares.h`.
fn usage_parts_for(entries: u32) -> u32 {
    2 * entries
}

/// Returns the initial settings of the kernel side.
pub(super) fn settings(config: &EbpfConfig, data_rings: u32) -> Settings {
    let wake_at = |size| ring_size(size) / WAKE_AT as u32;
    let mut settings = Settings {
        data_wakeup: wake_at(config.data_ring),
        lifecycle_wakeup: wake_at(config.lifecycle_ring),
        security_wakeup: wake_at(config.security_ring),
        agent_tgid: std::process::id(),
        data_rings,
        cpus_a_ring: facts::possible_cpus().div_ceil(data_rings),
        end_within_ms: u32::try_from(config.end_within.0.as_millis()).unwrap_or(u32::MAX),
        usage_room: config.usage_map,
        usage_files: config.usage_files.iter().fold(0, |bits, files| bits | files.bit()),
        ..Settings::default()
    };
    let sampled = tracers().filter(|tracer| config.sampled.iter().any(|name| name == tracer.name));
    settings.set_sampling(config.sample, sampled.map(|tracer| tracer.kind));
    settings.set_uids(&config.uids);
    settings
}

/// Rounds a ring size up to one that the kernel accepts: a power of two of memory pages.
pub(super) fn ring_size(wanted: Size) -> u32 {
    let page = page_size() as u64;
    let pages = wanted.0.div_ceil(page).max(1).next_power_of_two();
    u32::try_from(pages * page).unwrap_or(1 << 31)
}

/// Returns the size of a memory page in bytes.
pub(super) fn page_size() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_get_sizes_the_kernel_accepts() {
        assert_eq!(ring_size(Size(8 << 20)), 8 << 20);
        assert_eq!(ring_size(Size((4 << 20) + 1)), 8 << 20);
        assert!(ring_size(Size(1)).is_power_of_two());
    }
}
