//! Makes rows of tracer `loss` from gaps, so that the store itself shows what is missing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use model::lock::lock;
use model::{
    Accounts, Clocks, Details, ENDED, Extended, Gap, LOSS, Loss, LossPoint, Losses, TracerName, Tracking,
    ZonedTime,
};

/// Takes every gap noted since the previous call.
pub(crate) fn take_gaps(accounts: &Accounts) -> Vec<Gap> {
    accounts.all().iter().flat_map(|account| account.take_gaps()).collect()
}

/// Puts back gaps when no sink took their rows.
pub(crate) fn restore_gaps(accounts: &Accounts, gaps: Vec<Gap>) {
    for gap in gaps {
        accounts.of(&gap.tracer).restore_gap(gap);
    }
}

/// Makes the `loss` row of a gap.
pub(crate) fn row(gap: &Gap, clocks: &Clocks, accounts: &Accounts) -> Tracking {
    // It may begin before the machine was started.
    let since = (gap.cause == ENDED).then(|| accounts.unrecorded_since()).flatten();
    row_of(Loss {
        tracer: gap.tracer.clone(),
        point: gap.point,
        sink: gap.sink.clone(),
        cause: gap.cause.clone(),
        owner: gap.owner,
        count: gap.count,
        from: since.map_or_else(|| clocks.at(gap.from), |since| clocks.of_local(since)),
        to: clocks.at(gap.to),
    })
}

fn row_of(loss: Loss) -> Tracking {
    let count = (loss.count > 0).then(|| i64::try_from(loss.count).unwrap_or(i64::MAX));
    let uid = loss.owner.uid().map(i64::from);
    let (time, dt) = (loss.to, loss.to.wall());
    let row = Tracking::new(LOSS.into(), dt, Extended::new(Details::Loss(Box::new(loss))));
    Tracking { uid, count, time: Some(time), ..row }
}

/// `loss` rows that a sink has taken and not written yet. The list outlives the sink's incarnations. Its size is
/// bounded: losses of one tracer, owner and point are merged into one row while they wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unwritten {
    losses: Arc<Mutex<BTreeMap<TracerName, Losses<ZonedTime>>>>,
}

impl Unwritten {
    /// Adds the `loss` rows among `rows`.
    pub(crate) fn add(&self, rows: &[Tracking]) {
        let mut losses = lock(&self.losses);
        for row in rows {
            if let Details::Loss(loss) = &row.extended.details {
                losses.entry(loss.tracer.clone()).or_default().add((**loss).clone());
            }
        }
    }

    /// Returns the rows that wait.
    pub(crate) fn rows(&self) -> Vec<Tracking> {
        lock(&self.losses).values_mut().flat_map(Losses::list).cloned().map(row_of).collect()
    }

    /// Returns how many records the waiting rows report as lost in each tracer's ring.
    pub(crate) fn ring_losses(&self) -> BTreeMap<TracerName, u64> {
        let losses = lock(&self.losses);
        losses.iter().map(|(tracer, losses)| (tracer.clone(), losses.at(LossPoint::Ring))).collect()
    }

    /// Forgets the waiting rows, which are now written.
    pub(crate) fn clear(&self) {
        lock(&self.losses).clear();
    }
}

#[cfg(test)]
mod tests {
    use model::{BootNs, Owner};

    use super::*;

    fn gap(count: u64, from: u64, to: u64) -> Gap {
        let (from, to) = (BootNs(from), BootNs(to));
        Gap {
            tracer: "open".into(),
            point: LossPoint::Ring,
            sink: None,
            cause: "full".into(),
            owner: Owner::User(1001),
            count,
            from,
            to,
        }
    }

    #[test]
    fn waiting_losses_at_one_point_become_one_row() {
        let clocks = Clocks::default();
        let waiting = Unwritten::default();
        waiting.add(&[row(&gap(2, 5_000, 9_000), &clocks, &Accounts::default())]);
        waiting.add(&[row(&gap(3, 1_000, 7_000), &clocks, &Accounts::default())]);
        let rows = waiting.rows();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].count, rows[0].uid), (Some(5), Some(1001)));
        assert_eq!(rows[0].extended.get("from").unwrap().to_plain(), "1970-01-01 00:00:00.000001");
        assert_eq!(rows[0].extended.get("to").unwrap().to_plain(), "1970-01-01 00:00:00.000009");
        assert_eq!(
            rows[0].extended.get("to_time").unwrap().to_plain(),
            "1970-01-01T00:00:00.000009000+00:00"
        );
        waiting.clear();
        assert!(waiting.rows().is_empty());
    }

    #[test]
    fn gaps_are_restored_when_no_sink_took_them() {
        let accounts = Accounts::new(&[]);
        accounts.of(&"open".into()).lose(LossPoint::Ring, 4, (BootNs(1), BootNs(2)), "full");
        let gaps = take_gaps(&accounts);
        assert_eq!((gaps.len(), take_gaps(&accounts).len()), (1, 0));
        restore_gaps(&accounts, gaps);
        assert_eq!(take_gaps(&accounts)[0].count, 4);
    }
}
