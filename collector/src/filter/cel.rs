//! A filter that is an expression: `drop` rows for which it is true, or `keep` only those.

use expression::{Expression, Schema};
use model::{Problem, Tracking};

use super::config::FilterConfig;
use super::stage::{ENRICHED, Stage};
use super::undecided::{Failures, Tally};
use crate::normalize::local_micros;

/// A compiled expression, and whether it drops or keeps.
#[derive(Debug)]
pub(super) struct CelFilter {
    expression: Expression,
    /// Value of the expression for which a row is dropped.
    drops: bool,
    stage: Stage,
    failures: Tally,
}

impl CelFilter {
    pub(super) fn compile(config: &FilterConfig, prefix: &str) -> Result<Self, Vec<Problem>> {
        let (key, text, drops) = match (&config.drop, &config.keep) {
            (Some(text), None) => ("drop", text, true),
            (None, Some(text)) => ("keep", text, false),
            (Some(_), Some(_)) => {
                let message = "expected drop or keep, found both; make two filters of them";
                return Err(vec![Problem::new(format!("{prefix}.keep"), message)]);
            }
            (None, None) => {
                let message = "an expression is missing: drop = \"uid == 0\", or keep = \"uid != 0\"";
                return Err(vec![Problem::new(prefix, message)]);
            }
        };
        let schema = Schema { localize: local_micros, ..Schema::default() };
        let expression = Expression::compile(text, &schema)
            .map_err(|error| vec![Problem::new(format!("{prefix}.{key}"), error.to_string())])?;
        let enriched =
            expression.reads_any_field() || expression.fields().any(|name| ENRICHED.contains(&name));
        let stage = if enriched { Stage::Enriched } else { Stage::Normalized };
        Ok(Self { expression, drops, stage, failures: Tally::default() })
    }

    pub(super) fn reads(&self, name: &str) -> bool {
        self.expression.fields().any(|field| field == name)
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// Returns whether the row is dropped. A row for which the expression can't be evaluated is kept, with `drop` and
    /// with `keep`, so that no row is dropped by mistake.
    pub(super) fn drops(&self, row: &Tracking, stage: Stage) -> bool {
        if stage != self.stage {
            return false;
        }
        match self.expression.matches(row) {
            Ok(holds) => holds == self.drops,
            Err(cause) => {
                self.failures.add(cause);
                false
            }
        }
    }

    pub(super) fn take_failures(&self) -> Option<Failures> {
        self.failures.take()
    }
}
