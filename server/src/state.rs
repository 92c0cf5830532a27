//! Everything that the handlers of requests share.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use analyzer::Labels;

use crate::agent::Agent;
use crate::body::Bounds;
use crate::metrics::Metrics;
use crate::questions::Questions;
use crate::settings::ServerSettings;
use crate::stores::Stores;
use crate::tokens::Tokens;

/// Everything that the handlers of requests share.
pub(crate) struct State {
    pub(crate) tokens: Tokens,
    pub(crate) questions: Arc<Questions>,
    /// Most questions that run at the same time.
    pub(crate) parallel: usize,
    pub(crate) body: Bounds,
    pub(crate) agent: Arc<dyn Agent>,
    pub(crate) labels: Labels,
    /// Longest time and most memory of a statement of SQL.
    pub(crate) sql: (Duration, u64),
    pub(crate) metrics: Metrics,
}

impl State {
    pub(crate) fn new(
        settings: &ServerSettings,
        tokens: Tokens,
        (files, labels): (Vec<PathBuf>, Labels),
        agent: Arc<dyn Agent>,
    ) -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        let parallel = if settings.parallel == 0 { processors } else { settings.parallel as usize };
        let bounds = (parallel, settings.waiting as usize);
        let patience = settings.slow_client.0;
        let questions = Questions::new(Stores::new(files), bounds, settings.timeout.0, patience);
        let body =
            Bounds { size: usize::try_from(settings.max_body.0).unwrap_or(usize::MAX), time: patience };
        let sql = (settings.timeout.0, settings.sql_memory.0);
        let (questions, metrics) = (Arc::new(questions), Metrics::default());
        Self { tokens, questions, parallel, body, agent, labels, sql, metrics }
    }
}
