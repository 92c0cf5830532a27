//! The only module that reads clocks. Code that waits uses tokio's clock, which tests can pause; stored times come from
//! the kernel's clocks.
//!
//! Records have times of the boot clock. UTC and local time are found by the [`Clocks`] of this process: readings of both
//! clocks, taken every second and, by a thread, whenever the wall clock is set.

use std::sync::{Arc, Mutex, Once, OnceLock};
use std::time::Duration;

use jiff::tz::TimeZone;
use model::lock::lock;
use model::{BootClock, BootNs, Clocks, WallTime};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
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
    let now = read_ns(ClockId::CLOCK_REALTIME);
    #[cfg(feature = "fault-injection")]
    let now = now + SHIFT.load(std::sync::atomic::Ordering::Relaxed);
    now
}

/// Returns the conversion from kernel time to local wall time, by the current clocks and time zone.
pub fn boot_clock() -> BootClock {
    let (boot, utc_ns_at_boot) = reading();
    let offset = model::ZonedTime::new(utc_ns_at_boot + boot.0 as i64, &zone()).offset;
    BootClock { local_ns_at_boot: utc_ns_at_boot + i64::from(offset) * 1_000_000_000 }
}

/// Returns the current local wall time.
pub fn wall() -> WallTime {
    boot_clock().wall(boot_ns())
}

/// Returns the machine's time zone.
pub fn zone() -> TimeZone {
    TimeZone::system()
}

/// Returns the boot clock's relation to UTC and local time, as of the latest reading.
pub fn clocks() -> Arc<Clocks> {
    lock(known()).clone()
}

/// Reads the clocks, so that times from now on are converted by what they say.
pub fn sample() {
    let mut known = lock(known());
    let (now, utc_ns_at_boot) = reading();
    if Arc::make_mut(&mut known).note(now, utc_ns_at_boot, zone()) {
        tracing::warn!(utc_ns_at_boot, "the wall clock was set");
    }
}

/// Starts a thread that reads the clocks whenever the wall clock is set. Without it, times between the change and the next
/// [`sample`] are converted by what the clocks said before.
pub fn watch() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let watched = std::thread::Builder::new().name("clock-changes".to_owned()).spawn(wait_for_changes);
        if let Err(cause) = watched {
            tracing::warn!(%cause, "changes of the wall clock are noticed once a second");
        }
    });
}

fn wait_for_changes() {
    let timer = || {
        let timer = TimerFd::new(TimerClock::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC)?;
        // A time that does not come: the timer is there to be cancelled.
        let never = Expiration::OneShot(TimeSpec::new(i64::MAX, 0));
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        timer.set(never, flags)?;
        Ok::<_, Errno>(timer)
    };
    let cause = match timer() {
        Err(cause) => cause,
        Ok(timer) => loop {
            match timer.wait() {
                Err(Errno::ECANCELED) => sample(),
                Ok(()) => break Errno::ETIME,
                Err(cause) => break cause,
            }
        },
    };
    tracing::warn!(%cause, "changes of the wall clock are noticed once a second");
}

fn known() -> &'static Mutex<Arc<Clocks>> {
    static KNOWN: OnceLock<Mutex<Arc<Clocks>>> = OnceLock::new();
    KNOWN.get_or_init(|| Mutex::new(Arc::new(Clocks::new(reading().1, zone()))))
}

/// Returns the time of the boot clock, and UTC when the boot clock began. The time between the readings of the two clocks is
/// the error of the result, so the closest of several pairs is used.
fn reading() -> (BootNs, i64) {
    let readings = (0..5).map(|_| {
        let (before, unix, after) = (read_ns(ClockId::CLOCK_BOOTTIME), unix_ns(), boot_ns().0 as i64);
        (after - before, unix, before + (after - before) / 2)
    });
    let (_, unix, boot) = readings.min().unwrap_or_default();
    (BootNs(boot as u64), unix - boot)
}

/// Nanoseconds by which tests have set the wall clock of this process.
#[cfg(feature = "fault-injection")]
static SHIFT: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

/// Sets the wall clock of this process forward by so many seconds, or back.
#[cfg(feature = "fault-injection")]
pub fn shift(seconds: i64) {
    SHIFT.fetch_add(seconds * 1_000_000_000, std::sync::atomic::Ordering::Relaxed);
    sample();
}

fn read_ns(clock: ClockId) -> i64 {
    // Both clocks exist on every Linux since 2.6.39, so the call can't fail on a supported kernel.
    clock_gettime(clock).map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}
