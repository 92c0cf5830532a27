//! Boots of the machine: numbers of pipes and sockets begin again with each, so they are only the same within one.

use super::columns::{Column, columns};
use crate::{Error, Store};

/// Clocks of one boot differ by less than this, unless somebody sets the wall clock.
const SLACK_NS: i64 = 60_000_000_000;

columns!(Run { time, boot_ns });

/// The moments at which the machine was started, by the runs of the agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Boots {
    /// Wall time minus boot time at the beginning of each boot, in order.
    starts: Vec<i64>,
}

impl Boots {
    /// Finds the boots: each run of the agent writes rows of `manifest` when it starts.
    pub(super) fn of(store: &Store) -> Result<Self, Error> {
        let mut runs: Vec<(i64, i64)> = Vec::new();
        let (reader, wants) = (store.reader(), |name: &str| Run::NAMES.contains(&name));
        for (_, batch) in store.pieces(&["manifest"])?.iter().flat_map(|piece| &piece.batches) {
            let Some(rows) = store.read_batch(&reader, batch, &wants)? else { continue };
            let columns = Run::of(&rows);
            let times = |row| columns.time.signed(row).zip(columns.boot_ns.signed(row));
            runs.extend((0..rows.len()).filter_map(times).map(|(time, boot_ns)| (time - boot_ns, time)));
        }
        runs.sort_unstable();
        Ok(Self::from_runs(&runs))
    }

    /// Returns the start of the machine at each boot.
    pub(super) fn starts(&self) -> &[i64] {
        &self.starts
    }

    /// Finds the boots among runs, each with the start of the machine by its clocks and its own time. A clock that is set changes the
    /// start a little; a machine that starts again does so after everything that it recorded before.
    fn from_runs(runs: &[(i64, i64)]) -> Self {
        let (mut starts, mut latest) = (Vec::new(), i64::MIN);
        for (start, time) in runs {
            if *start > latest {
                starts.push(*start);
            }
            latest = latest.max(*time);
        }
        Self { starts }
    }

    /// Returns the number of the boot in which a row was written.
    pub(super) fn of_row(&self, time: i64, boot_ns: i64) -> u16 {
        let start = time.saturating_sub(boot_ns).saturating_add(SLACK_NS);
        let after = self.starts.partition_point(|known| *known <= start);
        u16::try_from(after.saturating_sub(1)).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_no_boot() {
        const HOUR: i64 = 3_600_000_000_000;
        // Two runs of one boot, between which the clock was set by a minute; one of the next boot.
        let runs = [(HOUR, 2 * HOUR), (HOUR + SLACK_NS, 3 * HOUR), (5 * HOUR, 6 * HOUR)];
        let boots = Boots::from_runs(&runs);
        assert_eq!(boots.starts, [HOUR, 5 * HOUR]);
        assert_eq!([2 * HOUR, 4 * HOUR].map(|time| boots.of_row(time, time - HOUR)), [0, 0]);
        assert_eq!(boots.of_row(7 * HOUR, 2 * HOUR), 1);
        assert_eq!(Boots::default().of_row(7 * HOUR, 2 * HOUR), 0);
    }
}
