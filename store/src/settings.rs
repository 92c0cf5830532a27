//! Settings of the store as a whole (`[store]`): when rows are sealed, how much is kept, and who may read it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use model::{Period, Problem, Size};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::access::Access;

/// Settings of the store (`[store]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Age of the oldest unsealed row at which the rows until then are sealed.
    pub seal_after: Period,
    /// Size of the unsealed batches at which they are sealed, whatever their age.
    pub seal_size: Size,
    /// Size of the whole store, above which the oldest segments are removed.
    pub max_size: Limit<Size>,
    /// Age of a segment's last row at which the segment is removed; 0: never.
    pub max_age: Period,
    /// Free space of the file system below which the oldest segments are removed.
    pub min_free: Limit<Size>,
    /// Age up to which no segment is removed, whatever the limits say.
    pub min_keep: Period,
    /// Group that may read the store; empty: none but the user of the agent.
    pub group: String,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            seal_after: Period(Duration::from_secs(3600)),
            seal_size: Size(256 << 20),
            max_size: Limit::Auto,
            max_age: Period(Duration::ZERO),
            min_free: Limit::Auto,
            min_keep: Period(Duration::from_secs(24 * 3600)),
            group: String::new(),
        }
    }
}

impl StoreSettings {
    /// Returns the problems of the section `section`.
    pub fn validate(&self, section: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |is_valid: bool, key: &str, message: &str| {
            if !is_valid {
                problems.push(Problem::new(format!("{section}.{key}"), message));
            }
        };
        check(self.seal_after.0 >= Duration::from_secs(1), "seal_after", "must be at least 1s");
        check(self.seal_size.0 >= 64 << 10, "seal_size", "must be at least 64KiB");
        let fits = |limit: Limit<Size>| !matches!(limit, Limit::Is(size) if size.0 < 1 << 20);
        check(fits(self.max_size), "max_size", "must be \"auto\" or at least 1MiB");
        let is_kept_longer = !self.max_age.0.is_zero() && self.max_age.0 < self.min_keep.0;
        check(
            !is_kept_longer,
            "max_age",
            "must be 0s, or at least min_keep: what is younger than that is not removed",
        );
        if let Err(why) = Access::of(&self.group) {
            problems.push(Problem::new(format!("{section}.group"), why));
        }
        problems
    }
}

/// A limit that is set, or depends on the file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit<T> {
    /// Depends on the size of the file system. Written `auto`.
    #[default]
    Auto,
    /// Is this value.
    Is(T),
}

impl<T: fmt::Display> Serialize for Limit<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Is(value) => serializer.collect_str(value),
        }
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let value =
            text.parse().map_err(|cause| serde::de::Error::custom(format!("{cause}, or \"auto\"")))?;
        Ok(Self::Is(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_contradict_each_other_are_named() {
        let hour = Period(Duration::from_secs(3600));
        let keys = |settings: StoreSettings| -> Vec<String> {
            settings.validate("store").into_iter().map(|problem| problem.key).collect()
        };
        assert!(keys(StoreSettings::default()).is_empty());
        assert_eq!(keys(StoreSettings { max_age: hour, ..Default::default() }), ["store.max_age"]);
        assert!(keys(StoreSettings { max_age: hour, min_keep: hour, ..Default::default() }).is_empty());
        let small = StoreSettings {
            seal_size: Size(1),
            max_size: Limit::Is(Size(1)),
            group: "no-such-group".into(),
            ..Default::default()
        };
        assert_eq!(keys(small), ["store.seal_size", "store.max_size", "store.group"]);
    }
}
