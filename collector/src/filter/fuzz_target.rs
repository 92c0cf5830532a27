//! Runs filters on arbitrary input, for fuzzers and property tests.

use model::{Clocks, Details, Moment, Record, TracerName, WallTime};
use serde_json::{Map, Value};

use super::{Filters, FiltersConfig, Stage};

/// Reads `config` as the section `filter` of a configuration (JSON instead of TOML), compiles it, and applies the
/// filters to a record of another program with these `fields`. Returns false if the configuration is refused.
///
/// # Panics
/// A documented property does not hold: a problem has no key, or a configuration that compiles once does not compile
/// again.
pub fn fuzz_target(config: Value, fields: Map<String, Value>) -> bool {
    let Ok(config) = serde_json::from_value::<FiltersConfig>(config) else { return false };
    let _ = config.warnings("filter", &super::TracerNames::default());
    let filters = match Filters::compile(&config, "filter") {
        Ok(filters) => filters,
        Err(problems) => {
            assert!(
                !problems.is_empty() && problems.iter().all(|problem| problem.key.starts_with("filter."))
            );
            return false;
        }
    };
    assert!(config.validate("filter").is_empty());
    let record = Record { at: Moment::Wall(WallTime(0)), identity: None, details: Details::Fields(fields) };
    if let Ok(row) = crate::normalize::row(&TracerName::new("t"), record, &Clocks::default()) {
        let early = filters.drops(&row, Stage::Normalized);
        let late = filters.drops(&row, Stage::Enriched);
        assert!([early, late].into_iter().flatten().all(|filter| filters.names().nth(filter).is_some()));
    }
    true
}
