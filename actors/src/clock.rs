//! The only reader of time. What waits uses tokio's clock, which tests pause; what is stored uses the kernel's.

use std::sync::OnceLock;
use std::time::Duration;

use model::{BootClock, BootNs, WallTime};
use nix::time::{ClockId, clock_gettime};
pub use tokio::time::Instant;

/// Now, for measuring and waiting. Stands still in tests with a paused clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits.
pub async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// How long until the next tick of `period`, at most that long. All who go by ticks are woken together, so that the
/// many who have nothing to do but say so cost the machine one wake-up and not one each.
///
/// # Panics
/// When `period` is zero.
pub fn until_tick(period: Duration) -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = now();
    let since = now.saturating_duration_since(*START.get_or_init(|| now));
    // The remainder is less than a period, and so fits.
    period - Duration::from_nanos((since.as_nanos() % period.as_nanos()) as u64)
}

/// Now on the kernel's boot clock, as `bpf_ktime_get_boot_ns` tells it.
pub fn boot_ns() -> BootNs {
    BootNs(read_ns(ClockId::CLOCK_BOOTTIME) as u64)
}

/// How long the machine has been suspended since boot: by so much the boot clock is ahead of the monotonic one
/// (`bpf_ktime_get_ns`).
pub fn suspended_ns() -> u64 {
    let monotonic = read_ns(ClockId::CLOCK_MONOTONIC);
    u64::try_from(read_ns(ClockId::CLOCK_BOOTTIME) - monotonic).unwrap_or(0)
}

/// Wall-clock nanoseconds since 1970, UTC.
pub fn unix_ns() -> i64 {
    read_ns(ClockId::CLOCK_REALTIME)
}

/// What turns kernel time into local wall time, as clocks and zone stand now.
pub fn boot_clock() -> BootClock {
    // Whatever lies between the readings becomes an error of the result: the closest of some it is.
    let readings = (0..5).map(|_| {
        let (before, unix, after) = (read_ns(ClockId::CLOCK_BOOTTIME), unix_ns(), boot_ns().0 as i64);
        (after - before, unix, before + (after - before) / 2)
    });
    let (_, unix, boot) = readings.min().unwrap_or_default();
    BootClock { local_ns_at_boot: unix - boot + zone_offset_ns(unix) }
}

/// Local wall time now.
pub fn wall() -> WallTime {
    boot_clock().wall(boot_ns())
}

fn zone_offset_ns(unix_ns: i64) -> i64 {
    let seconds = jiff::Timestamp::from_nanosecond(unix_ns.into())
        .map(|now| jiff::tz::TimeZone::system().to_offset(now).seconds())
        .unwrap_or(0);
    i64::from(seconds) * 1_000_000_000
}

fn read_ns(clock: ClockId) -> i64 {
    // Both clocks exist on every Linux since 2.6.39, so the call can't fail on a supported kernel.
    clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}
