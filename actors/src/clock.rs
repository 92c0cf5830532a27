//! The only module that reads clocks. Code that waits uses tokio's clock, which tests can pause; stored times come from
//! the kernel's clocks.

use std::sync::OnceLock;
use std::time::Duration;

use model::{BootClock, BootNs, WallTime};
use nix::time::{ClockId, clock_gettime};
pub use tokio::time::Instant;

/// Returns the current instant, for measuring and waiting. Does not advance in tests with a paused clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits for `time`.
pub async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Returns the time until the next tick of `period`. Actors that wait for ticks wake up together, so that many idle
/// actors cost the machine one wake-up instead of one each.
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

/// Returns the current time of the kernel's boot clock, the one that `bpf_ktime_get_boot_ns` reads.
pub fn boot_ns() -> BootNs {
    BootNs(read_ns(ClockId::CLOCK_BOOTTIME) as u64)
}

/// Returns for how long the machine has been suspended since boot: the boot clock minus the monotonic clock
/// (`bpf_ktime_get_ns`).
pub fn suspended_ns() -> u64 {
    let monotonic = read_ns(ClockId::CLOCK_MONOTONIC);
    u64::try_from(read_ns(ClockId::CLOCK_BOOTTIME) - monotonic).unwrap_or(0)
}

/// Returns wall-clock nanoseconds since 1970, UTC.
pub fn unix_ns() -> i64 {
    read_ns(ClockId::CLOCK_REALTIME)
}

/// Returns the conversion from kernel time to local wall time, by the current clocks and time zone.
pub fn boot_clock() -> BootClock {
    // The time between the two readings is the error of the result, so the closest of several pairs is used.
    let readings = (0..5).map(|_| {
        let (before, unix, after) = (read_ns(ClockId::CLOCK_BOOTTIME), unix_ns(), boot_ns().0 as i64);
        (after - before, unix, before + (after - before) / 2)
    });
    let (_, unix, boot) = readings.min().unwrap_or_default();
    BootClock { local_ns_at_boot: unix - boot + zone_offset_ns(unix) }
}

/// Returns the current local wall time.
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
