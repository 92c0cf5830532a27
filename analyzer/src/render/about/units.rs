//! Amounts in words: bytes, durations, numbers of things.

/// Bytes exactly while they are few, else in binary units with one decimal.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 10_000 {
        return counted(count, "byte");
    }
    let mut amount = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if amount < 1000.0 {
            break;
        }
        amount /= 1024.0;
        unit = larger;
    }
    format!("{amount:.1} {unit}")
}

/// `1 call`, `2 calls`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A length of time to two or three digits.
pub(super) fn duration(nanoseconds: u64) -> String {
    let fraction = |unit: u64, name: &str| {
        let amount = nanoseconds as f64 / unit as f64;
        if amount < 10.0 { format!("{amount:.1} {name}") } else { format!("{amount:.0} {name}") }
    };
    let seconds = nanoseconds / 1_000_000_000;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => fraction(1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(1_000_000, "ms"),
        1_000_000_000..60_000_000_000 => fraction(1_000_000_000, "s"),
        _ if seconds < 3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short_and_have_their_unit() {
        assert_eq!([0, 1, 9_999].map(bytes), ["0 bytes", "1 byte", "9999 bytes"]);
        assert_eq!([22_431, 10_733_880, 5 << 40].map(bytes), ["21.9 KiB", "10.2 MiB", "5.0 TiB"]);
        assert_eq!([999, 8_250, 349_000].map(duration), ["999 ns", "8.2 µs", "349 µs"]);
        assert_eq!([8_765_431, 1_500_000_000].map(duration), ["8.8 ms", "1.5 s"]);
        assert_eq!([83_000_000_000, 7_260_000_000_000].map(duration), ["1 min 23 s", "2 h 1 min"]);
    }
}
