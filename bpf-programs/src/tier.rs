//! Tiers: the kinds of hooks that a kernel may offer. The kernel side is compiled once for each tier; `unseen` lists the
//! events that each can't see.

use serde::{Deserialize, Serialize};

/// A kind of hooks, for which the kernel side is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Trampolines (fentry, fexit) at functions of the kernel, BTF tracepoints for the rest.
    Function,
    /// BTF tracepoints for everything.
    Tracepoint,
    /// Raw tracepoints, for kernels without BTF tracing.
    Kprobe,
}

/// The configured choice of a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// Uses the first tier that works, see [`Tier::PREFERRED`].
    #[default]
    Auto,
    /// Uses [`Tier::Function`] only.
    Function,
    /// The former name of `function`.
    Trampoline,
    /// Uses [`Tier::Tracepoint`] only.
    Tracepoint,
    /// Uses [`Tier::Kprobe`] only.
    Kprobe,
}

impl Choice {
    /// Returns the tiers to try, in order.
    pub(crate) fn tiers(self) -> &'static [Tier] {
        match self {
            Self::Auto => &Tier::PREFERRED,
            Self::Function | Self::Trampoline => &[Tier::Function],
            Self::Tracepoint => &[Tier::Tracepoint],
            Self::Kprobe => &[Tier::Kprobe],
        }
    }
}

impl Tier {
    /// All tiers, by number.
    pub(crate) const ALL: [Self; 3] = [Self::Function, Self::Tracepoint, Self::Kprobe];
    /// Tiers that `auto` tries, in this order; see `docs/DECISIONS.md` for the reasons.
    pub(crate) const PREFERRED: [Self; 3] = Self::ALL;

    /// Returns the name in configuration and rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Function => "function",
            Self::Tracepoint => "tracepoint",
            Self::Kprobe => "kprobe",
        }
    }

    /// Returns the tier with this number, as in status and rows.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.number() == number)
    }

    /// Returns the number in status and rows: 1 function, 2 tracepoint, 3 kprobe.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Function => 1,
            Self::Tracepoint => 2,
            Self::Kprobe => 3,
        }
    }
}

impl std::fmt::Display for Tier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
