//! Emits the rows of tracer `manifest`: the hooks of each kernel tracer and the events it can't see, written when it is
//! attached or can't be. They are stored like all rows, so the store itself shows what it can't contain.

use std::sync::{Arc, Mutex};

use actors::{Outbox, clock};
use model::lock::lock;
use model::{Account, Batch, Claim, Details, Moment, Record, TracerName};
use serde_json::{Map, Value, json};

use crate::kernel::Attached;
use crate::tier::Tier;

/// Emits the manifest rows of one tracer.
pub(crate) struct Manifest {
    tracer: TracerName,
    account: Arc<Account>,
    collector: Outbox<Batch>,
    /// The last row. It outlives the tracer's incarnations, so that an unchanged row is not emitted again.
    reported: Mutex<Option<Map<String, Value>>>,
}

impl Manifest {
    /// Creates the manifest of the tracer stored under this name; `account` is the account of tracer `manifest`.
    pub(crate) fn new(tracer: TracerName, account: Arc<Account>, collector: &Outbox<Batch>) -> Self {
        Self { tracer, account, collector: collector.clone(), reported: Mutex::default() }
    }

    /// Reports that the tracer runs with these hooks.
    pub(crate) async fn attached(&self, attached: &Attached) {
        let tier = Tier::of_number(attached.tier).map(Tier::name);
        self.report(tier, &attached.hooks, &attached.unseen, &attached.without).await;
    }

    /// Reports that the tracer does not run, and the cause.
    pub(crate) async fn refused(&self, cause: String) {
        self.report(None, &[], &[], &[cause]).await;
    }

    async fn report(&self, tier: Option<&str>, hooks: &[String], unseen: &[String], degraded: &[String]) {
        let state = if degraded.is_empty() { "attached" } else { "degraded" };
        let row = json!({
            // No process caused the row.
            "comm": null,
            "tracer": self.tracer.as_str(), "state": state, "tier": tier, "kernel": kernel(),
            "hooks": hooks, "unseen": unseen, "degraded": degraded,
        });
        let Value::Object(row) = row else { return };
        let is_known =
            |known: &Map<String, Value>| *known == row || (tier.is_none() && known["tier"].is_null());
        if lock(&self.reported).as_ref().is_some_and(is_known) {
            return;
        }
        let now = clock::boot_ns();
        let claim = Claim::on_new(self.account.clone(), 1, (now, now));
        let record = Record { at: Moment::Boot(now), identity: None, details: Details::Fields(row.clone()) };
        // If the collector is gone the row is lost, and its claim counts it.
        if self.collector.send(Batch { claim, records: vec![record] }).await.is_ok() {
            *lock(&self.reported) = Some(row);
        }
    }
}

/// Returns the release of the running kernel.
fn kernel() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use actors::WhenFull;
    use model::{Accounts, MANIFEST, SinkName};

    use super::*;

    #[tokio::test]
    async fn what_has_not_changed_is_reported_once() {
        let accounts = Accounts::new(&[SinkName::new("memory")]);
        let (collector, rows) = Outbox::channel(8, WhenFull::Block);
        let manifest = Manifest::new("open".into(), accounts.of(&MANIFEST.into()), &collector);
        let attached = Attached { tier: 2, unseen: vec!["x".to_owned()], ..Attached::default() };
        manifest.refused("first".to_owned()).await;
        manifest.refused("the same in other words".to_owned()).await;
        manifest.attached(&attached).await;
        manifest.attached(&attached).await;
        let states: Vec<_> = rows.drain().map(|batch| field(&batch, "state")).collect();
        assert_eq!(states, ["degraded", "attached"]);
    }

    fn field(batch: &Batch, name: &str) -> Value {
        let Details::Fields(fields) = &batch.records[0].details else { panic!("no fields") };
        fields[name].clone()
    }
}
