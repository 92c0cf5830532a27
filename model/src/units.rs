//! Sizes and durations as they are written in configurations: `8MiB`, `100ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes. Written `512KiB`, `8MiB`, `1GiB`, or a bare number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time. Written `50us`, `100ms`, `2s`, `5m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// Error for a text that is no size or no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text is not a size.
    #[error("expected a size such as \"512KiB\" or \"8MiB\"")]
    Size,
    /// The text is not a duration.
    #[error("expected a duration such as \"100ms\" or \"2s\"")]
    Period,
}

/// Units of sizes, largest first, so that a value is written with the largest unit that divides it.
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const PERIODS: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Splits `100ms` into 100 and the value of `ms`.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn write(value: u64, units: &[(&str, u64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |factor: u64| value.is_multiple_of(factor) && (value > 0 || factor == 1);
    match units.iter().find(|(_, factor)| fits(*factor)) {
        Some((unit, factor)) => write!(f, "{}{unit}", value / factor),
        None => write!(f, "{value}"),
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bare = text.trim().parse().ok();
        bare.or_else(|| parse(text, &SIZES)).map(Self).ok_or(UnitError::Size)
    }
}

impl Size {
    /// Returns the size in whole KiB from 1 MiB on, which is as exact as people read it.
    pub fn rounded(self) -> Self {
        Self(if self.0 < 1 << 20 { self.0 } else { self.0 & !1023 })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(self.0, &SIZES, f)
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, &PERIODS).map(|micros| Self(Duration::from_micros(micros))).ok_or(UnitError::Period)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX), &PERIODS, f)
    }
}

macro_rules! as_text {
    ($kind:ident, $expected:literal) => {
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $kind;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$kind, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$kind, E> {
                        number.to_string().parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$kind, E> {
                        number.to_string().parse().map_err(E::custom)
                    }
                }
                // A number is accepted too, because `--set` and environment variables may contain one instead of a text.
                deserializer.deserialize_any(Visitor)
            }
        }
    };
}

as_text!(Size, "a size such as \"8MiB\"");
as_text!(Period, "a duration such as \"100ms\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_written_in_the_same_form() {
        for text in ["8MiB", "1GiB", "3KiB", "1025B", "0B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        for text in ["100ms", "2s", "1500ms", "5m", "1h", "7us", "0us"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        assert_eq!("4096".parse::<Size>(), Ok(Size(4096)));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "MiB", "8MB", "-1", "99999999999GiB"] {
            assert_eq!(text.parse::<Size>(), Err(UnitError::Size), "{text}");
        }
        for text in ["", "100", "1 day", "-1s"] {
            assert_eq!(text.parse::<Period>(), Err(UnitError::Period), "{text}");
        }
    }
}
