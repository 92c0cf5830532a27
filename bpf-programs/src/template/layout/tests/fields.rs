//! How each kind of field is decoded.

use crate::template::layout::{Clocks, Hints, Show};
use model::BootClock;
use serde_json::{Value, json};

use crate::template::layout::tests::clang::{decoded, hints, refused, types};

fn plain(members: &str, bytes: &[u8]) -> Value {
    Value::Object(decoded(members, &Hints::default(), bytes))
}

#[test]
fn integers_of_every_width_and_sign() {
    let members = "char c; signed char sc; unsigned char uc; short s; unsigned short us; int i; unsigned u; long l; \
                   unsigned long ul; __int128 h; unsigned __int128 uh; _Bool yes; _Bool no;";
    let mut bytes = vec![0xff; 80];
    bytes[64] = 1;
    bytes[65] = 0;
    let expected = json!({
        "c": -1, "sc": -1, "uc": 255, "s": -1, "us": 65535, "i": -1, "u": u32::MAX, "l": -1, "ul": u64::MAX,
        "h": "-1", "uh": u128::MAX.to_string(), "yes": true, "no": false,
    });
    assert_eq!(plain(members, &bytes), expected);
}

#[test]
fn floats_and_what_is_no_number() {
    let bytes = [1.5f32.to_le_bytes().as_slice(), &f32::NAN.to_le_bytes(), &(-0.1f64).to_le_bytes()].concat();
    assert_eq!(plain("float a; float b; double c;", &bytes), json!({ "a": 1.5, "b": "NaN", "c": -0.1 }));
}

#[test]
fn text_is_kept_to_the_byte() {
    let members =
        "char name[8]; unsigned char other[4]; char lines[2][4]; __u8 raw[3]; signed char numbers[2];";
    let bytes = b"caf\xe9\0xxxfullab\0\0\xffcd\0\x01\x02\xff\xff\x02";
    let expected = json!({
        "name": "caf\\xe9", "name_bytes": "636166e9", "other": "full",
        "lines": ["ab", "\\xffcd"], "lines_bytes": ["6162", "ff6364"],
        "raw": "0102ff", "numbers": [-1, 2],
    });
    assert_eq!(plain(members, bytes), expected);
}

#[test]
fn bit_fields_across_bytes_and_words() {
    let members = "unsigned a : 3; int b : 5; unsigned c : 17; __u64 d : 40; long e : 23; _Bool f : 1;";
    // a = 5, b = -2, c = 0x1abcd in the first word; d, e, f in the second and third.
    let first = 5u32 | (0b11110 << 3) | (0x1abcd << 8);
    let second = 0x12_3456_789au64 | ((0x40_0001u64) << 40) | (1 << 63);
    let mut bytes = first.to_le_bytes().to_vec();
    bytes.extend([0; 4]);
    bytes.extend(second.to_le_bytes());
    let expected = json!({
        "a": 5, "b": -2, "c": 0x1abcd, "d": 0x12_3456_789au64, "e": 0x40_0001 - (1 << 23), "f": true,
    });
    assert_eq!(plain(members, &bytes), expected);
}

#[test]
fn a_bit_field_that_spans_seventeen_bytes() {
    let source = "struct event { unsigned a : 5; unsigned __int128 b : 124; unsigned c : 3; } \
                  __attribute__((packed)); EVENT(struct event);";
    let mut bytes = [0; 17];
    // The lowest and highest bits of b, and those of c.
    (bytes[0], bytes[16]) = (1 << 5, 0b0101_0001);
    let fields =
        types(source).record(None, &Hints::default()).unwrap().decode(&bytes, &Clocks::default()).unwrap();
    let expected = json!({ "a": 0, "b": (1u128 << 123 | 1).to_string(), "c": 0 });
    assert_eq!(Value::Object(fields), expected);
}

#[test]
fn enums_by_name_and_unknown_ones_by_number() {
    let members = "enum state { BAD = -2, RUN = 1, STOP = 0x7fffffff } a, b, c; enum packed { P = 200, Q = 3 } \
                   __attribute__((packed)) d; enum state e : 4; enum { ONE = 1 } f; enum u { U = 4 } g;";
    let mut bytes = Vec::new();
    for value in [-2i32, 0x7fff_ffff, -7] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([200, 0x0e, 0, 0]);
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(u32::MAX.to_le_bytes());
    let expected =
        json!({ "a": "BAD", "b": "STOP", "c": -7, "d": "P", "e": "BAD", "f": "ONE", "g": u32::MAX });
    assert_eq!(plain(members, &bytes), expected);
}

#[test]
fn nested_structs_unions_and_anonymous_ones() {
    let members = "struct { int a; struct { short b, c; }; } in; union { int n; unsigned char bytes[2]; } u; \
                   union { int x; struct { short low, high; }; }; void *p; struct { char k; int v; } list[2];";
    let mut bytes = Vec::new();
    for value in [7i32, 0x0002_0001, 0x0000_4241, 0x0004_0003] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(0xffff_8880_1234_5678u64.to_le_bytes());
    bytes.extend([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0]);
    let expected = json!({
        "in": { "a": 7, "b": 1, "c": 2 }, "u": { "n": 0x4241, "bytes": "AB" }, "x": 0x0004_0003, "low": 3, "high": 4,
        "p": "0xffff888012345678", "list": [{ "k": 1, "v": 2 }, { "k": 3, "v": 4 }],
    });
    assert_eq!(plain(members, &bytes), expected);
}

#[test]
fn names_of_types_and_fields_choose_how_to_show() {
    let source = "typedef __u32 ipv4_t; typedef struct { __u8 b[16]; } ipv6_t; struct in6_addr { __u8 b[16]; }; \
                  typedef __u8 mac_t[6]; struct event { ipv4_t a; __be32 saddr; __be32 size; __be16 port; mac_t mac; \
                  __u8 daddr[4]; __u8 daddr_v6[16]; struct in6_addr six; ipv6_t also; __u8 path[8]; }; EVENT(struct event);";
    let mut bytes =
        vec![127, 0, 0, 1, 10, 0, 0, 1, 0, 0, 1, 0, 0x1f, 0x90, 1, 2, 3, 4, 5, 0xff, 192, 168, 0, 9];
    bytes.extend([0; 15]);
    bytes.extend([2]);
    bytes.extend([0; 15]);
    bytes.extend([1, 0xfe, 0x80]);
    bytes.extend([0; 13]);
    bytes.extend([7]);
    bytes.extend(b"/etc\0\0\0\0");
    let fields =
        types(source).record(None, &Hints::default()).unwrap().decode(&bytes, &Clocks::default()).unwrap();
    let expected = json!({
        "a": "127.0.0.1", "saddr": "10.0.0.1", "size": 256, "port": 8080, "mac": "01:02:03:04:05:ff",
        "daddr": "192.168.0.9", "daddr_v6": "::2", "six": "::1", "also": "fe80::7", "path": "/etc",
    });
    assert_eq!(Value::Object(fields), expected);
}

#[test]
fn times_are_local_wall_time_unless_they_are_durations() {
    let source =
        "struct event { __u64 start_ns, ktime_ns, duration_ns, timestamp, never_ns; }; EVENT(struct event);";
    let hints = hints(&[("timestamp", Show::MonotonicNs)], &[]);
    let layout = types(source).record(None, &hints).unwrap();
    let clocks = Clocks {
        boot: BootClock { local_ns_at_boot: 1_709_210_096_000_000_000 },
        suspended_ns: 1_000_000_000,
    };
    let bytes: Vec<u8> = [7_001u64, 7_001, 5, 9, 0].iter().flat_map(|ns| ns.to_le_bytes()).collect();
    let expected = json!({
        "start_ns": "2024-02-29 12:34:56.000007001", "ktime_ns": "2024-02-29 12:34:57.000007001",
        "duration_ns": 5, "timestamp": 1_000_000_009u64, "never_ns": null,
    });
    assert_eq!(Value::Object(layout.decode(&bytes, &clocks).unwrap()), expected);
}

#[test]
fn hints_win_over_names() {
    let members = "__u32 flags; __u32 daddr; __u8 raw[4]; char state; __u64 t_ns; int pad; struct { int a; char b[4]; } in; \
                   struct { __u32 id; __u32 n; } many[2]; __u16 port;";
    let show = [
        ("flags", Show::Hex),
        ("daddr", Show::Ipv4),
        ("raw", Show::Text),
        ("state", Show::Text),
        ("t_ns", Show::Number),
        ("pad", Show::Hide),
        ("in", Show::Inline),
        ("in.b", Show::Bytes),
        ("many.n", Show::Hex),
        ("port", Show::BigEndian),
    ];
    let rename = [("flags", "bits"), ("in.a", "ret"), ("many.id", "many.key")];
    let mut bytes = vec![0x1f, 0, 0, 0, 1, 2, 3, 4];
    bytes.extend(b"raw\0R\0\0\0");
    bytes.extend(5u64.to_le_bytes());
    bytes.extend([9, 9, 9, 9, 8, 0, 0, 0, b'a', 0, 0, 0]);
    bytes.extend([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 80, 0, 0]);
    let expected = json!({
        "bits": "0x1f", "daddr": "1.2.3.4", "raw": "raw", "state": "R", "t_ns": 5, "ret": 8, "b": "61000000",
        "many": [{ "key": 1, "n": "0x2" }, { "key": 3, "n": "0x4" }], "port": 80,
    });
    assert_eq!(Value::Object(decoded(members, &hints(&show, &rename), &bytes)), expected);
}

#[test]
fn a_nested_field_is_lifted_to_the_top_by_its_new_name() {
    let members = "int first; struct { int x; struct { int pid; char comm[4]; }; } task;";
    let bytes = [1u32, 2, 77, u32::from_le_bytes(*b"sh\0\0")]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect::<Vec<_>>();
    let hints = hints(&[], &[("task.pid", "pid"), ("task.comm", "task.name")]);
    let expected = json!({ "first": 1, "task": { "x": 2, "name": "sh" }, "pid": 77 });
    assert_eq!(Value::Object(decoded(members, &hints, &bytes)), expected);
}

#[test]
fn fields_that_can_not_be_decoded_are_reported_with_their_path() {
    let none = Hints::default();
    let table = [
        (
            "",
            "int a; char data[];",
            "read the fields of struct event: field data (char[0]): its length is unknown; give it one",
        ),
        (
            "struct far;",
            "struct { struct far *fine; int n[0]; } in;",
            "read the fields of struct event: field in.n (int[0]): its length is unknown; give it one",
        ),
        (
            "",
            "char big[70000];",
            "read the fields of struct event: it has 70000 bytes; a record has 1 to 65536",
        ),
        (
            "",
            "struct {} empty; int a;",
            "read the fields of struct event: field empty (struct {…}): it has no bytes",
        ),
        (
            "",
            "__u32 pid[2];",
            "read the fields of struct event: field pid (__u32[2]) can't fill the column pid, which holds a whole number; give it another name with `rename`",
        ),
        (
            "",
            "int a; union { int b; int c; } comm;",
            "read the fields of struct event: field comm (union {…}) can't fill the column comm, which holds text; give it another name with `rename`",
        ),
    ];
    for (before, members, expected) in table {
        assert_eq!(refused(before, members, &none).to_string(), expected);
    }
}

#[test]
fn a_hint_that_does_not_fit_is_refused() {
    let members = "int a; struct { int b; unsigned bits : 3; } in; char name[4];";
    let table = [
        (
            hints(&[("b", Show::Hex)], &[]),
            "show.\"b\": struct event has no such field; it has a, in, in.b, in.bits, name",
        ),
        (
            hints(&[], &[("in.x", "y")]),
            "rename.\"in.x\": struct event has no such field; it has a, in, in.b, in.bits, name",
        ),
        (
            hints(&[("a", Show::Mac)], &[]),
            "show.\"a\": int can't be shown as mac; six bytes can: an array or struct of that size",
        ),
        (
            hints(&[("in.bits", Show::Text)], &[]),
            "show.\"in.bits\": unsigned int can't be shown as text; bytes and arrays of them can",
        ),
        (
            hints(&[("name", Show::Inline)], &[]),
            "show.\"name\": char[4] can't be shown as inline; structs and unions can, outside of arrays",
        ),
        (
            hints(&[], &[("a", "name")]),
            "read the fields of struct event: it has two fields name; give one another name with `rename`",
        ),
        (
            hints(&[], &[("a", "x.y")]),
            "rename.\"a\" = \"x.y\": a new name may have dots only as the path of the field's own struct",
        ),
    ];
    for (hints, expected) in table {
        assert_eq!(refused("", members, &hints).to_string(), expected);
    }
}
