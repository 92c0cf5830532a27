//! Kernel time, wall time, and the conversion between them.

use serde::{Serialize, Serializer};

/// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`, `bpf_ktime_get_boot_ns`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct BootNs(pub u64);

/// Microseconds of *local* wall-clock time since 1970-01-01 00:00:00, without a zone, as in duetector's `dt` column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WallTime(pub i64);

impl WallTime {
    /// Returns the text form `YYYY-MM-DD HH:MM:SS.ffffff`: 26 bytes, always six digits of a second, as duetector
    /// requires. Years outside 0 to 9999 are clamped to that range.
    pub fn format(self) -> [u8; 26] {
        let (days, micros) = (self.0.div_euclid(86_400_000_000), self.0.rem_euclid(86_400_000_000));
        let (year, month, day) = civil_from_days(days);
        let seconds = micros / 1_000_000;
        let mut out = *b"0000-00-00 00:00:00.000000";
        put(&mut out[0..4], year.clamp(0, 9999));
        put(&mut out[5..7], month);
        put(&mut out[8..10], day);
        put(&mut out[11..13], seconds / 3600);
        put(&mut out[14..16], seconds / 60 % 60);
        put(&mut out[17..19], seconds % 60);
        put(&mut out[20..26], micros % 1_000_000);
        out
    }

    /// Parses exactly the form that [`WallTime::format`] returns; any other text gives `None`.
    ///
    /// ```
    /// use model::WallTime;
    /// assert_eq!(WallTime::parse("1970-01-01 00:00:00.000001"), Some(WallTime(1)));
    /// assert_eq!(WallTime::parse("1970-01-01T00:00:00.000001"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; 26] = text.as_bytes().try_into().ok()?;
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits =
                bytes[from..to].iter().map(|byte| byte.is_ascii_digit().then(|| i64::from(byte - b'0')));
            digits.sum::<Option<i64>>()?;
            text.get(from..to)?.parse().ok()
        };
        let days = days_from_civil(number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
        let at = Self((days * 86_400 + seconds) * 1_000_000 + number(20, 26)?);
        // Wrong separators and invalid days or hours give another text when formatted again.
        (at.format() == *bytes).then_some(at)
    }

    /// Returns the text form as an owned string.
    pub fn to_text(self) -> String {
        self.format().iter().map(|&b| char::from(b)).collect()
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

fn put(out: &mut [u8], mut value: i64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Returns the proleptic Gregorian date of a day number (days since 1970-01-01), after Hinnant's `civil_from_days`.
/// Written here because it runs for every row on the hot path and needs no time zone.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Returns the day number of a date, the inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    year.div_euclid(400) * 146_097 + day_of_era - 719_468
}

/// Converts [`BootNs`] to [`WallTime`] as of one moment. Rows are converted by [`Clocks`](crate::Clocks), which knows earlier
/// moments too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootClock {
    /// Local wall-clock nanoseconds (no zone) at boot.
    pub local_ns_at_boot: i64,
}

impl BootClock {
    /// Returns the local wall time of a kernel time.
    pub fn wall(self, at: BootNs) -> WallTime {
        let ns = i128::from(self.local_ns_at_boot) + i128::from(at.0);
        WallTime(ns.div_euclid(1000) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_with_six_digits() {
        assert_eq!(WallTime(0).to_text(), "1970-01-01 00:00:00.000000");
        assert_eq!(WallTime(1_709_210_096_000_007).to_text(), "2024-02-29 12:34:56.000007");
        assert_eq!(WallTime(-1).to_text(), "1969-12-31 23:59:59.999999");
    }

    #[test]
    fn only_the_form_that_is_written_can_be_read_again() {
        // Every 1000th day or so from year 0 to year 9999.
        for at in (-62_167_219_200_000_000..253_402_300_799_999_999_i64).step_by(86_500_123_456_789) {
            let at = WallTime(at);
            assert_eq!(WallTime::parse(&at.to_text()), Some(at));
        }
        let wrong = [
            "",
            "2024-02-30 00:00:00.000000",
            "2024-02-29 24:00:00.000000",
            "2024-13-01 00:00:00.000000",
            "2024-00-01 00:00:00.000000",
            "2024-02-29T00:00:00.000000",
            "2024-02-29 00:00:00.00000",
            "2024-02-29 00:00:60.000000",
            "+024-02-29 00:00:00.000000",
            "2024-02-29 00:00:00.000000 ",
        ];
        for text in wrong {
            assert_eq!(WallTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn wall_time_is_the_time_at_boot_plus_the_time_since() {
        let clock = BootClock { local_ns_at_boot: 1_000_000_000 };
        assert_eq!(clock.wall(BootNs(2_000_000_999)), WallTime(3_000_000));
    }
}
