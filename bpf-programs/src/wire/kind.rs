//! The kinds and families of records, and the errors of decoding one.

/// A family of kinds: those whose records are decoded, filtered and shown alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Open,
    Exec,
    Clone,
    Exit,
    /// Calls on sockets, connections and flows of datagrams.
    Socket,
    /// Datagrams of the name service.
    Dns,
    /// Calls that change names or attributes of files.
    Fs,
    Usage,
    /// Calls that act on processes, credentials or the kernel.
    Act,
    /// Changes that only the process table records.
    Process,
}

impl Family {
    /// Returns whether records of the family have the path that is walked in the kernel and becomes the row's `fname`.
    pub(crate) fn has_path(self) -> bool {
        match self {
            Self::Open | Self::Fs => true,
            Self::Exec | Self::Clone | Self::Exit | Self::Socket => false,
            Self::Dns | Self::Usage | Self::Act | Self::Process => false,
        }
    }
}

/// The ring buffers through which records leave the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Records of processes that start, execute a program, move or exit. Always read first.
    Lifecycle,
    /// Rare records that matter most: calls that act on credentials, processes, mounts or the kernel.
    Security,
    /// All other records.
    Data,
}

impl Ring {
    /// All rings, in the order in which they are read.
    pub(crate) const ALL: [Self; 3] = [Self::Lifecycle, Self::Security, Self::Data];
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal in $family:ident $(from $tracer:ident)?;)*) => {
        /// Kind of a record, with its number in `kinds.in`.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $name = $number,)*
        }

        impl Kind {
            /// All kinds, in the order of the list.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the family of the kind.
            pub(crate) fn family(self) -> Family {
                match self {
                    $(Self::$name => Family::$family,)*
                }
            }
        }

        impl TryFrom<u32> for Kind {
            type Error = WireError;

            fn try_from(number: u32) -> Result<Self, WireError> {
                match number {
                    $($number => Ok(Self::$name),)*
                    _ => Err(WireError::Kind(number)),
                }
            }
        }
    };
}

include!("kinds.in");

impl Kind {
    /// Returns the ring that carries records of this kind.
    pub fn ring(self) -> Ring {
        match self.family() {
            Family::Exec | Family::Clone | Family::Exit | Family::Process => Ring::Lifecycle,
            // There may be very many messages.
            Family::Act if self == Self::Ipc => Ring::Data,
            Family::Act => Ring::Security,
            Family::Fs if self == Self::Mount => Ring::Security,
            Family::Open | Family::Socket | Family::Dns | Family::Fs | Family::Usage => Ring::Data,
        }
    }
}

/// Error of decoding a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// There are fewer bytes than the fixed part has.
    #[error("record of {found} bytes is too short, {needed} needed")]
    Short { found: usize, needed: usize },
    /// The size in the header differs from the number of bytes.
    #[error("record of {found} bytes says it has {said}")]
    Size {
        found: usize,
        /// Size according to the header.
        said: u32,
    },
    /// The kind is unknown.
    #[error("record of unknown kind {0}")]
    Kind(u32),
    /// The record belongs to another tracer.
    #[error("record of kind {found:?} instead of {expected:?}")]
    Unexpected { found: Kind, expected: Kind },
    /// The lengths of the texts don't add up to the record's size.
    #[error("texts of record have {found} bytes, {needed} needed")]
    Texts { found: usize, needed: usize },
    /// The system call is not one of the tracer's.
    #[error("record of unknown system call {0}")]
    Call(u32),
    /// The direction is neither read nor written nor mapped.
    #[error("record of unknown direction {0}")]
    Direction(u32),
    /// The address family is neither IPv4 nor IPv6.
    #[error("record of unknown address family {0}")]
    Family(u16),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header that the kernel side is compiled with.
    const HEADER: &str = include_str!(concat!(env!("OUT_DIR"), "/kinds.h"));

    /// Returns the value of a constant of the header.
    fn constant(name: &str) -> u64 {
        let line = HEADER.lines().find_map(|line| line.strip_prefix(&format!("#define {name} ")));
        line.unwrap_or_else(|| panic!("no {name}")).trim_end_matches("ULL").parse().unwrap()
    }

    #[test]
    fn each_kind_is_in_the_kernel_sides_set_of_its_family_and_in_no_other() {
        let sets = HEADER.lines().filter_map(|line| line.strip_prefix("#define KINDS_OF_"));
        let sets: Vec<_> = sets.map(|line| line.split(' ').next().unwrap()).collect();
        for kind in Kind::ALL {
            let number = constant(&format!("KIND_{}", format!("{kind:?}").to_uppercase()));
            assert_eq!(number, u64::from(*kind as u32));
            let holds = |set: &&&str| constant(&format!("KINDS_OF_{set}")) >> number & 1 == 1;
            let found: Vec<_> = sets.iter().filter(holds).collect();
            assert_eq!(found, [&format!("{:?}", kind.family()).to_uppercase()], "{kind:?}");
        }
        let all = Kind::ALL.iter().fold(0, |all, kind| all | 1 << *kind as u32);
        assert_eq!(constant("KINDS"), all);
    }
}
