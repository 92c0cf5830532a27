//! The kinds of hooks that a kernel may offer. The kernel side is compiled once for each; `unseen` says what none or one
//! of them can't see.

use serde::{Deserialize, Serialize};

/// A kind of hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Trampolines at the functions of system calls, BTF tracepoints for the rest.
    Trampoline,
    /// BTF tracepoints.
    Tracepoint,
    /// For kernels without BTF tracing: raw tracepoints.
    Kprobe,
}

/// Which tier is to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// The first that works, see [`Tier::PREFERRED`].
    #[default]
    Auto,
    /// [`Tier::Trampoline`].
    Trampoline,
    /// [`Tier::Tracepoint`].
    Tracepoint,
    /// [`Tier::Kprobe`].
    Kprobe,
}

impl Choice {
    /// The tiers to try, in this order.
    pub fn tiers(self) -> &'static [Tier] {
        match self {
            Self::Auto => &Tier::PREFERRED,
            Self::Trampoline => &[Tier::Trampoline],
            Self::Tracepoint => &[Tier::Tracepoint],
            Self::Kprobe => &[Tier::Kprobe],
        }
    }
}

impl Tier {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Trampoline, Self::Tracepoint, Self::Kprobe];
    /// What `auto` tries, in this order; `docs/DECISIONS.md` says why.
    pub const PREFERRED: [Self; 2] = [Self::Tracepoint, Self::Kprobe];

    /// Its name in configuration and in rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trampoline => "trampoline",
            Self::Tracepoint => "tracepoint",
            Self::Kprobe => "kprobe",
        }
    }

    /// The tier of this number, see [`Tier::number`].
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.number() == number)
    }

    /// Its number in the design: 1 is the first.
    pub fn number(self) -> u8 {
        match self {
            Self::Trampoline => 1,
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
