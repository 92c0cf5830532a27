//! The sealing of the columnar store.

use std::sync::Arc;

use actors::{AnyChild, LoopRef, Prepared};
use model::lock::lock;
use model::{Change, Problem, Subject, What};

use super::{Group, Subsystem};
use crate::config::Config;
use crate::sealer::{Sealer, SharedSettings};

/// The subsystem that keeps the columnar store within its limits. It has no tracers.
pub(crate) struct Segments {
    pub(crate) sealer: LoopRef<Sealer>,
    pub(crate) settings: SharedSettings,
}

impl Subsystem for Segments {
    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)> {
        vec![(Group::Sinks, Arc::new(self.sealer.clone()))]
    }

    fn prepare(&self, config: &Config) -> Result<Prepared, Vec<Problem>> {
        let (wanted, settings) = (config.store.clone(), self.settings.clone());
        Ok(Box::pin(async move {
            let before = std::mem::replace(&mut *lock(&settings), wanted.clone());
            let setting = Subject::Setting("store".to_owned());
            if before == wanted { Vec::new() } else { vec![Change::new(What::Changed, setting)] }
        }))
    }
}
