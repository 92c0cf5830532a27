//! Random C structs, as data.

use proptest::prelude::*;

/// A struct or union.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) union: bool,
    pub(crate) packed: bool,
    pub(crate) aligned: Option<u8>,
    pub(crate) members: Vec<Member>,
}

/// A member; one without a name is an anonymous struct or union, or a gap.
#[derive(Clone, Debug)]
pub(crate) enum Member {
    Plain {
        of: Of,
        aligned: Option<u8>,
    },
    Bits {
        of: Of,
        bits: u8,
    },
    Anonymous(Record),
    /// `int : n;`, 0 to begin a new unit.
    Gap(u8),
}

/// The type of a member.
#[derive(Clone, Debug)]
pub(crate) enum Of {
    /// An integer type by its name in C.
    Int(&'static str),
    Bool,
    Float,
    Double,
    Pointer,
    Enum(Enum),
    Text(u8),
    Bytes(u8),
    Array(Box<Of>, u8),
    Record(Record),
}

/// An enum by its constants.
#[derive(Clone, Debug)]
pub(crate) struct Enum {
    pub(crate) packed: bool,
    pub(crate) values: Vec<i128>,
}

impl Enum {
    pub(crate) fn is_wide(&self) -> bool {
        let negative = self.values.iter().any(|value| *value < 0);
        let (low, high) = (i128::from(i32::MIN), if negative { i32::MAX.into() } else { u32::MAX.into() });
        self.values.iter().any(|value| *value < low || *value > high)
    }

    /// True if a constant is over the signed range: compilers before clang 16 do not record that the enum is
    /// unsigned, so only its names are certain.
    pub(crate) fn is_high(&self) -> bool {
        !self.is_wide() && self.values.iter().any(|value| *value > i32::MAX.into())
    }
}

const INTS: [(&str, u8); 18] = [
    ("char", 8),
    ("signed char", 8),
    ("unsigned char", 8),
    ("short", 16),
    ("unsigned short", 16),
    ("int", 32),
    ("unsigned int", 32),
    ("long", 64),
    ("unsigned long", 64),
    ("long long", 64),
    ("unsigned long long", 64),
    ("__int128", 128),
    ("unsigned __int128", 128),
    ("u8", 8),
    ("s16", 16),
    ("u32", 32),
    ("s64", 64),
    ("volatile u64", 64),
];

fn enumeration() -> impl Strategy<Value = Enum> {
    let small = || prop::collection::vec(0i128..300, 1..5);
    let values = prop_oneof![
        4 => small(),
        4 => prop::collection::vec(-300i128..300, 1..5),
        1 => (small(), 0x8000_0000i128..=0xffff_ffff).prop_map(|(few, high)| [few, vec![high]].concat()),
        1 => prop::collection::vec(i128::from(i32::MIN)..=i32::MAX.into(), 1..4),
        1 => (small(), 0x1_0000_0000i128..=u64::MAX.into()).prop_map(|(few, wide)| [few, vec![wide]].concat()),
        1 => (small(), i128::from(i64::MIN)..-0x1_0000_0000).prop_map(|(few, wide)| [few, vec![wide]].concat()),
    ];
    (values, prop::bool::weighted(0.2)).prop_map(|(values, packed)| Enum { packed, values })
}

fn scalar(with_bool: bool) -> impl Strategy<Value = Of> {
    prop_oneof![
        10 => prop::sample::select(INTS.to_vec()).prop_map(|(name, _)| Of::Int(name)),
        u32::from(with_bool) * 2 => Just(Of::Bool),
        1 => Just(Of::Float),
        1 => Just(Of::Double),
        1 => Just(Of::Pointer),
        3 => enumeration().prop_map(Of::Enum),
        2 => (1u8..20).prop_map(Of::Text),
        1 => (1u8..20).prop_map(Of::Bytes),
    ]
}

/// Generates bit-fields of integer types.
fn bits(with_bool: bool) -> impl Strategy<Value = Member> {
    let ints = (prop::sample::select(INTS.to_vec()), any::<u8>())
        .prop_map(|((name, bits), some)| Member::Bits { of: Of::Int(name), bits: some % bits + 1 });
    let enums = (enumeration(), any::<u8>())
        .prop_filter("its constants must fit", |(of, _)| !of.packed && !of.is_high() && !of.is_wide());
    prop_oneof![
        6 => ints,
        2 => enums.prop_map(|(of, some)| Member::Bits { of: Of::Enum(of), bits: some % 32 + 1 }),
        u32::from(with_bool) => Just(Member::Bits { of: Of::Bool, bits: 1 }),
        1 => (0u8..20).prop_map(Member::Gap),
    ]
}

/// Generates members. A union gets no `_Bool`, because other members overwrite it with values that it may not
/// hold.
fn members(depth: u32, with_bool: bool) -> BoxedStrategy<Vec<Member>> {
    let aligned = || prop::option::weighted(0.1, prop::sample::select(vec![2u8, 4, 8, 16, 32]));
    let plain = (of(depth, with_bool), aligned()).prop_map(|(of, aligned)| Member::Plain { of, aligned });
    if depth == 0 {
        let any = prop_oneof![3 => plain, 2 => bits(with_bool)];
        return prop::collection::vec(any, 1..6).boxed();
    }
    let anonymous = record_of(depth - 1, with_bool).prop_map(Member::Anonymous);
    prop::collection::vec(prop_oneof![4 => plain, 3 => bits(with_bool), 1 => anonymous], 1..8).boxed()
}

fn of(depth: u32, with_bool: bool) -> BoxedStrategy<Of> {
    if depth == 0 {
        return scalar(with_bool).boxed();
    }
    let array = (of(depth - 1, with_bool), 1u8..4).prop_map(|(of, count)| Of::Array(Box::new(of), count));
    prop_oneof![
        6 => scalar(with_bool),
        2 => array,
        2 => record_of(depth - 1, with_bool).prop_map(Of::Record),
    ]
    .boxed()
}

fn record_of(depth: u32, with_bool: bool) -> BoxedStrategy<Record> {
    let one = move |union: bool| {
        let aligned = prop::option::weighted(0.1, prop::sample::select(vec![1u8, 4, 8, 64]));
        (members(depth, with_bool && !union), prop::bool::weighted(0.2), aligned)
            .prop_map(move |(members, packed, aligned)| Record { union, packed, aligned, members })
    };
    prop_oneof![3 => one(false), 1 => one(true)].boxed()
}

/// Generates a struct with at least one byte.
pub(crate) fn record() -> impl Strategy<Value = Record> {
    (members(2, true), prop::bool::weighted(0.2))
        .prop_map(|(members, packed)| Record { union: false, packed, aligned: None, members })
        .prop_filter("gaps have no bytes to fill", has_bytes)
}

/// True if every nested struct has a member that is not a gap.
fn has_bytes(record: &Record) -> bool {
    let deep = |of: &Of| {
        let mut of = of;
        while let Of::Array(element, _) = of {
            of = element;
        }
        if let Of::Record(record) = of { has_bytes(record) } else { true }
    };
    record.members.iter().any(|member| !matches!(member, Member::Gap(_)))
        && record.members.iter().all(|member| match member {
            Member::Plain { of, .. } => deep(of),
            Member::Anonymous(record) => has_bytes(record),
            Member::Bits { .. } | Member::Gap(_) => true,
        })
}
