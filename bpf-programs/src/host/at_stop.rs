//! The end of a host: programs can outlive it.

/// Treatment of the programs by a host that stops, once it has read their records. Those without a pin are detached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AtStop {
    /// All programs are detached.
    #[default]
    Detach,
    /// The pins are left to whoever stops the host, with the programs switched off.
    LeavePins,
    /// The pins are left, and the programs go on recording for the next agent.
    GoOn,
}
