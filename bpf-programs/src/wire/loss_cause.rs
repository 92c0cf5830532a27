//! Why the kernel side lost a record.

use model::{CROWDED, OVER_BUDGET, SAMPLED, SKIPPED, STALE};

/// Number of causes.
pub(crate) const LOSS_CAUSES: usize = LossCause::ALL.len();

/// The cause of a loss, with its number in `include/map_values.h` (`LOST_*`).
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossCause {
    /// The ring was full, or there was no scratch space to make the record in.
    RingFull,
    /// Sampling left the record out.
    Sampled,
    /// There was no room in the map that remembers what has not ended.
    Crowded,
    /// The request or connection that the record is about ended unseen.
    Stale,
    /// The owner's budget was used up.
    OverBudget,
    /// The kernel skipped the program, because it was already running on that CPU.
    Skipped,
}

impl LossCause {
    /// All causes, by number.
    pub(crate) const ALL: [Self; 6] =
        [Self::RingFull, Self::Sampled, Self::Crowded, Self::Stale, Self::OverBudget, Self::Skipped];

    /// Returns the cause as `loss` rows have it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::RingFull => "the ring was full",
            Self::Sampled => SAMPLED,
            Self::Crowded => CROWDED,
            Self::Stale => STALE,
            Self::OverBudget => OVER_BUDGET,
            Self::Skipped => SKIPPED,
        }
    }
}
