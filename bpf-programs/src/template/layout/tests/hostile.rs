//! Type information that was tampered with: reading it must end soon, with a result or an error, and in little
//! memory.

use crate::template::layout::fuzz::fuzz_target;
use crate::template::layout::{Hints, LayoutError, Types};
use crate::template::object::Contents;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::template::layout::tests::clang::object;

const SOURCE: &str = r#"
enum kind { ONE = 1, TWO = -2 }; typedef __u32 ipv4_t; struct inner { short a; char name[8]; __be16 port; };
struct event { enum kind kind; ipv4_t addr; __u64 start_ns; struct inner in[3]; union { int x; float f; }; unsigned b : 3;
  enum kind k : 4; void *p; const volatile struct inner *far; __u8 raw[2][3]; _Bool yes; __int128 wide; };
struct { __uint(type, 27); __uint(max_entries, 4096); __type(value, struct event); } events SEC(".maps");
SEC("tracepoint/a/b") int program(struct inner *ctx) { return ctx->a; }
"#;

/// Returns the section `.BTF` of an object as a range of its bytes.
fn type_information(object: &[u8]) -> std::ops::Range<usize> {
    let magic = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    let at = object.windows(8).position(|window| window == magic).unwrap();
    let word = |at: usize| u32::from_le_bytes(object[at..at + 4].try_into().unwrap()) as usize;
    at..at + 24 + word(at + 16) + word(at + 20)
}

/// A way to damage the bytes.
#[derive(Clone, Debug)]
enum Harm {
    Flip(usize, u8),
    Word(usize, u32),
    Cut(usize),
    Copy(usize, usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    let words = prop_oneof![
        any::<u32>(),
        0u32..64,
        Just(u32::MAX),
        Just(0x7fff_ffff),
        (0u32..32).prop_map(|kind| kind << 24 | 2)
    ];
    prop_oneof![
        4 => (any::<usize>(), 0u8..8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        4 => (any::<usize>(), words).prop_map(|(at, word)| Harm::Word(at, word)),
        1 => any::<usize>().prop_map(Harm::Cut),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Harm::Copy(from, to)),
    ]
}

fn harmed(whole: &[u8], harms: &[Harm]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for harm in harms {
        let words = (bytes.len() / 4).max(1);
        // Words as in the types; if the length is odd, the last one is completed.
        let range = |at: usize| (at % words) * 4..(at % words) * 4 + 4;
        match *harm {
            Harm::Flip(at, bit) if !bytes.is_empty() => {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            Harm::Word(at, word) if bytes.len() >= 4 => bytes[range(at)].copy_from_slice(&word.to_le_bytes()),
            Harm::Copy(from, to) if bytes.len() >= 4 => {
                let (from, to) = (range(from), range(to));
                bytes.copy_within(from, to.start);
            }
            Harm::Cut(at) if !bytes.is_empty() => bytes.truncate(at % bytes.len()),
            _ => {}
        }
    }
    bytes
}

#[test]
fn tampered_types_are_answered() {
    let object = object(SOURCE);
    let btf = object[type_information(&object)].to_vec();
    assert!(fuzz_target(&object) > 2 && fuzz_target(&btf) > 2);
    let mut runner = TestRunner::new(Config {
        cases: 6000,
        rng_seed: RngSeed::Fixed(23),
        failure_persistence: None,
        ..Config::default()
    });
    let mut laid_out = 0;
    let strategy = (any::<bool>(), prop::collection::vec(harm(), 1..6));
    let survived = runner.run(&strategy, |(bare, harms)| {
        std::hint::black_box(fuzz_target(&harmed(if bare { &btf } else { &object }, &harms)));
        Ok(())
    });
    survived.unwrap();
    // Each truncation, and each single bit of the header.
    for end in 0..btf.len() {
        laid_out += fuzz_target(&btf[..end]);
    }
    assert_eq!(laid_out, 0, "what is cut has lost its names at least");
    for bit in 0..24 * 8 {
        fuzz_target(&harmed(&btf, &[Harm::Flip(bit / 8, (bit % 8) as u8)]));
    }
}

#[test]
fn tampered_objects_are_answered_also_where_the_loader_panics() {
    let object = object(SOURCE);
    assert!(Contents::read(&object).is_ok());
    let config =
        Config { cases: 500, rng_seed: RngSeed::Fixed(23), failure_persistence: None, ..Config::default() };
    let survived = TestRunner::new(config).run(&prop::collection::vec(harm(), 1..6), |harms| {
        let harmed = harmed(&object, &harms);
        // As a template is read: what the type reader refuses never gets to the loader.
        if Types::of_object(&harmed).is_ok() {
            let _ = std::hint::black_box(Contents::read(&harmed));
        }
        Ok(())
    });
    survived.unwrap();
}

/// Builds a type section from words and names.
fn btf(types: &[u32], names: &str) -> Vec<u8> {
    let length = types.len() as u32 * 4;
    let header = [24, 0, length, length, names.len() as u32];
    let words = [0x0001_eb9f].iter().chain(&header).chain(types);
    words.flat_map(|word| word.to_le_bytes()).chain(names.bytes()).collect()
}

const INT: u32 = 1 << 24;
const ARRAY: u32 = 3 << 24;
const STRUCT: u32 = 4 << 24;
const TYPEDEF: u32 = 8 << 24;
const NAMES: &str = "\0event\0a\0b\0";

fn error(types: &[u32]) -> String {
    let types = Types::of_btf(&btf(types, NAMES)).unwrap();
    types.record(Some("event"), &Hints::default()).unwrap_err().to_string()
}

#[test]
fn circles_and_towers_end() {
    // struct event { struct event a; }, which C does not allow.
    let itself = [1, STRUCT | 1, 8, 7, 1, 0];
    assert_eq!(
        error(&itself),
        "read the fields of event: its structs are nested too deep, or one contains itself"
            .replace("event", "struct event")
    );
    // typedef b a; typedef a b; struct event { a a; }
    let circle = [1, STRUCT | 1, 8, 7, 2, 0, 7, TYPEDEF, 3, 9, TYPEDEF, 2];
    assert_eq!(error(&circle), "read type information of BPF object: a type contains itself");
    // An array of itself.
    let array = [1, STRUCT | 1, 8, 7, 2, 0, 0, ARRAY, 0, 2, 2, 5];
    assert_eq!(error(&array), "read the fields of struct event: an array contains itself");
    // Each struct has two of the next, all in the same eight bytes: 2^24 fields.
    let mut tower = Vec::new();
    for level in 1..=24 {
        tower.extend([u32::from(level == 1), STRUCT | 2, 8, 7, level + 1, 0, 9, level + 1, 0]);
    }
    tower.extend([0, INT, 8, 64]);
    assert_eq!(error(&tower), "read the fields of struct event: it has more than 4096 fields");
}

#[test]
fn overlaps_and_sizes_are_bounded() {
    // A thousand arrays of 16,384 numbers in the same 64 KiB.
    let mut lists = vec![0, INT, 4, 32, 0, ARRAY, 0, 1, 1, 16_384, 1, STRUCT | 1000, 65_536];
    let names: String = NAMES
        .chars()
        .chain((0..1000).flat_map(|n| format!("f{n:03}\0").chars().collect::<Vec<_>>()))
        .collect();
    for member in 0..1000 {
        lists.extend([NAMES.len() as u32 + member * 5, 2, 0]);
    }
    let types = Types::of_btf(&btf(&lists, &names)).unwrap();
    let error = types.record(Some("event"), &Hints::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "read the fields of struct event: its overlapping members decode to too much data"
    );
    // Four thousand million elements, an int at the largest offset, a number of three bytes.
    let table: [(&[u32], &str); 4] = [
        (
            &[0, INT, 4, 32, 0, ARRAY, 0, 1, 1, u32::MAX, 1, STRUCT | 1, 8, 7, 2, 0],
            "it has 17179869180 bytes; a whole record has at most 65536",
        ),
        (&[7, INT, 4, 32, 1, STRUCT | 1, 8, 7, 1, 40], "it lies outside of the struct it is in"),
        (&[7, INT, 4, 32, 1, STRUCT | 1, 8, 7, 1, 3], "it does not begin at a byte"),
        (&[7, INT, 3, 24, 1, STRUCT | 1, 8, 7, 1, 0], "numbers have 1, 2, 4, 8 or 16 bytes"),
    ];
    for (types, expected) in table {
        let error = self::error(types);
        assert!(
            error.starts_with("read the fields of struct event: field a (") && error.ends_with(expected),
            "{error}"
        );
    }
}

#[test]
fn bit_fields_of_older_compilers_are_read() {
    // Without the flag at the struct, the integer's own type has width and offset: 5 bits, 3 bits in.
    let old = [7, INT, 4, 1 << 24 | 3 << 16 | 5, 1, STRUCT | 1, 4, 7, 1, 8];
    let types = Types::of_btf(&btf(&old, NAMES)).unwrap();
    let layout = types.record(Some("event"), &Hints::default()).unwrap();
    let fields = layout.decode(&[0, 0b1111_0111, 0, 0], &Default::default()).unwrap();
    assert_eq!(fields["a"], -2);
}

#[test]
fn enums_of_newer_compilers_are_read() {
    // enum64 { a = 0x1_0000_0000, b = -1 } signed; struct event { enum a; }
    let wide = [0, 19 << 24 | 1 << 31 | 2, 8, 7, 0, 1, 9, u32::MAX, u32::MAX, 1, STRUCT | 1, 8, 7, 1, 0];
    let types = Types::of_btf(&btf(&wide, NAMES)).unwrap();
    let layout = types.record(Some("event"), &Hints::default()).unwrap();
    for (value, expected) in [(1i64 << 32, "a".into()), (-1, "b".into()), (-7, serde_json::json!(-7))] {
        assert_eq!(layout.decode(&value.to_le_bytes(), &Default::default()).unwrap()["a"], expected);
    }
    // If such an enum is present, an enum without the flag is unsigned: { a = 0xffffffff }.
    let high = [0, 19 << 24, 8, 0, 6 << 24 | 1, 4, 7, u32::MAX, 1, STRUCT | 1, 4, 7, 2, 0];
    let types = Types::of_btf(&btf(&high, NAMES)).unwrap();
    let layout = types.record(Some("event"), &Hints::default()).unwrap();
    assert_eq!(layout.decode(&[0xff; 4], &Default::default()).unwrap()["a"], "a");
    assert_eq!(layout.decode(&[0xfe, 0xff, 0xff, 0xff], &Default::default()).unwrap()["a"], u32::MAX - 1);
}

#[test]
fn oversized_bss_is_refused_before_it_is_allocated() {
    let error =
        Types::of_object(&object("struct event { int a; } *e; char room[1 << 30];")).unwrap_err().to_string();
    let expected = "its uninitialised data (.bss) has 1073741832 bytes, at most 67108864 can be loaded";
    assert_eq!(error, format!("read BPF object: {expected}"));
}

#[test]
fn a_header_of_another_machine_is_refused() {
    let mut other = btf(&[], NAMES);
    other.swap(0, 1);
    let error = Types::of_btf(&other).unwrap_err();
    assert_eq!(error, LayoutError::Malformed { what: "the header is truncated, or has another byte order" });
}
