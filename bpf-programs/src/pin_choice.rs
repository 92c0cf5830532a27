//! The setting `ebpf.pin`: true, false or "auto".

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Whether programs, rings and counters outlive the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PinChoice {
    /// If kernel, rights and the other settings allow it.
    #[default]
    Auto,
    /// As `Auto`, but settings that rule it out are refused, and a failure is an error in the log.
    Always,
    /// Nothing is pinned.
    Never,
}

impl Serialize for PinChoice {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Always => to.serialize_bool(true),
            Self::Never => to.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for PinChoice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = PinChoice;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("true, false or \"auto\"")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<PinChoice, E> {
        Ok(if value { PinChoice::Always } else { PinChoice::Never })
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<PinChoice, E> {
        match value {
            "auto" => Ok(PinChoice::Auto),
            // As environment variables have them.
            "true" => Ok(PinChoice::Always),
            "false" => Ok(PinChoice::Never),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_as_it_is_written() {
        for (text, choice) in
            [("true", PinChoice::Always), ("false", PinChoice::Never), ("\"auto\"", PinChoice::Auto)]
        {
            assert_eq!(serde_json::from_str::<PinChoice>(text).unwrap(), choice);
            assert_eq!(serde_json::to_string(&choice).unwrap(), text);
        }
        let error = serde_json::from_str::<PinChoice>("\"yes\"").unwrap_err().to_string();
        assert!(error.contains("true, false or \"auto\""), "{error}");
    }
}
