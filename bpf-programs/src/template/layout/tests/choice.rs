//! How the struct of a record is chosen.

use crate::template::layout::{Clocks, DecodeError, Hints, LayoutError, RecordChoice};
use serde_json::json;

use crate::template::layout::Types;
use crate::template::layout::tests::clang::{object, types};

const RING: &str = "struct { __uint(type, 27); __uint(max_entries, 4096); __type(value, struct event); } events SEC(\".maps\");";
/// Structs that are no records: the state in a hash map, one of the kernel's, the context of a program.
const OTHERS: &str = r#"
struct state { int s; }; struct task_struct { int pid; } __attribute__((preserve_access_index)); struct context { int id; };
struct { __uint(type, 1); __uint(max_entries, 4); __type(key, int); __type(value, struct state); } states SEC(".maps");
SEC("tracepoint/a/b") int program(struct context *ctx) { struct task_struct *t = (void *)(long)ctx->id; return t->pid; }
"#;

fn chosen(source: &str) -> Result<String, LayoutError> {
    let types = types(source);
    let layout = types.record(None, &Hints::default())?;
    Ok(layout.describe().map(|(name, ..)| name.to_owned()).collect())
}

#[test]
fn the_only_declared_struct_is_found_among_the_others() {
    let event = "struct event { int a; };";
    assert_eq!(chosen(&format!("{event}{OTHERS}{RING}")).unwrap(), "struct event");
    assert_eq!(chosen(&format!("{event}{OTHERS} EVENT(struct event);")).unwrap(), "struct event");
    assert_eq!(
        chosen(&format!("typedef struct {{ int a; }} event_t; {OTHERS} EVENT(event_t);")).unwrap(),
        "event_t"
    );
    // The ring's own declaration has precedence over a pointer to another struct.
    let other = "struct other { int b; }; const struct other *unused;";
    assert_eq!(chosen(&format!("{event}{other}{RING}")).unwrap(), "struct event");
}

#[test]
fn no_or_several_declared_records_are_an_error_that_lists_them() {
    let none = chosen(OTHERS).unwrap_err().to_string();
    assert!(
        none.starts_with("find the record's struct: the object does not declare one; the object has struct "),
        "{none}"
    );
    assert!(none.contains("struct state") && none.contains("const struct event *unused"), "{none}");
    let several = chosen("struct a { int x; } *a; struct b { int x; } *b;").unwrap_err().to_string();
    assert_eq!(
        several,
        "find the record's struct: the object declares several: struct a, struct b; name one with `record`"
    );
}

#[test]
fn a_struct_is_found_by_each_of_its_names() {
    let types = types("struct a { int x; }; typedef struct a a_t; union u { int y; } *u; a_t *p;");
    for name in ["a", "struct a", "a_t", "u", "union u", " struct  a "] {
        assert!(types.record(Some(name), &Hints::default()).is_ok(), "{name}");
    }
    for name in ["union a", "struct u", "struct a_t", "x", ""] {
        let error = types.record(Some(name), &Hints::default()).unwrap_err();
        assert!(matches!(error, LayoutError::NoSuchRecord { .. }), "{name}: {error}");
    }
    let forward = crate::template::layout::tests::clang::types("struct far; struct a { struct far *p; } *a;");
    let error = forward.record(Some("struct far"), &Hints::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "read the fields of struct far: it is declared but not defined in the object's types"
    );
}

#[test]
fn what_is_no_object_is_refused() {
    let empty = object("");
    let cut = &object("struct event { int a; } *e;")[..200];
    let table: [(&[u8], &str); 4] = [
        (b"not an object", "read BPF object: it is not an ELF file"),
        (b"", "read BPF object: it is not an ELF file"),
        (&empty, "read BPF object: it has no type information (section .BTF); compile it with `clang -g`"),
        (cut, "read BPF object: "),
    ];
    for (bytes, expected) in table {
        let error = Types::of_object(bytes).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let native = std::fs::read("/proc/self/exe").unwrap();
    let error = Types::of_object(&native).unwrap_err().to_string();
    assert!(error.contains("not for eBPF; compile it with `clang -target bpf`"), "{error}");
}

const KINDS: &str = "enum kind { OPENED = 1, EXITED = 2 }; struct opened { int type; int fd; } *o; \
                     struct exited { enum kind type; char why[4]; } *e; struct odd { int x, type; } *odd;";

fn choice(toml: serde_json::Value) -> RecordChoice {
    serde_json::from_value(toml).unwrap()
}

#[test]
fn several_kinds_on_one_ring() {
    let types = types(KINDS);
    let choice = choice(json!({ "kind": "type", "1": "struct opened", "EXITED": "exited" }));
    let layout = types.layout(Some(&choice), None, &Hints::default()).unwrap();
    let decode = |bytes: &[u8]| layout.decode(bytes, &Clocks::default());
    assert_eq!(json!(decode(&[1, 0, 0, 0, 7, 0, 0, 0]).unwrap()), json!({ "type": 1, "fd": 7 }));
    assert_eq!(json!(decode(b"\x02\0\0\0sig\0").unwrap()), json!({ "type": "EXITED", "why": "sig" }));
    let unknown = decode(&[3, 0, 0, 0, 0, 0, 0, 0]).unwrap_err();
    assert_eq!(unknown, DecodeError::UnknownKind { field: "type".to_owned(), value: "3".to_owned() });
    assert_eq!(
        decode(&[1, 0, 0, 0]).unwrap_err().to_string(),
        "decode struct opened: the record has 4 bytes, but the struct has 8"
    );
}

#[test]
fn a_table_of_kinds_that_does_not_fit_is_refused() {
    let types = types(KINDS);
    let table = [
        (
            json!({ "kind": "x", "1": "opened" }),
            "record.kind.\"x\": struct opened has no such field; it has type, fd",
        ),
        (
            json!({ "kind": "why", "1": "exited" }),
            "record.\"kind\": why of struct exited is not a whole number or enum by itself",
        ),
        (
            json!({ "kind": "type" }),
            "record.\"kind\": it names no structs; add `1 = \"struct event\"` for each kind",
        ),
        (
            json!({ "kind": "type", "1": "opened", "2": "odd" }),
            "record.\"kind\": struct odd does not have type where the others have it",
        ),
        (
            json!({ "kind": "type", "1": "opened", "OPENED": "exited" }),
            "record.\"kind\": two entries stand for the value 1",
        ),
        (
            json!({ "kind": "type", "CLOSED": "opened" }),
            "record.\"CLOSED\": it is not a number, and no enum among the object's types has a constant of that name",
        ),
    ];
    for (toml, expected) in table {
        let error = types.layout(Some(&choice(toml)), None, &Hints::default()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let wrong = serde_json::from_value::<RecordChoice>(json!(5)).unwrap_err().to_string();
    assert!(wrong.contains("a struct's name, or a table { kind = "), "{wrong}");
}
