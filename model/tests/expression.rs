//! Expressions under random input: no text breaks the compiler, no row the evaluator; and what the checker lets pass
//! says the same here as in the `cel` crate's own interpreter.

use std::sync::Arc;

use cel::{Context, Env, Value as CelValue};
use model::expression::{Expression, Schema, exercise};
use model::{Details, Extended, TracerName, Tracking, WallTime};
use proptest::prelude::*;
use serde_json::json;

/// Pieces of which garbage is made that is nearly an expression.
const PIECES: [&str; 58] = [
    "uid",
    "comm",
    "fname",
    "dt",
    "extended",
    "extended.x",
    "extended['x']",
    "flags",
    "argv",
    "ino",
    "container_id",
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.5",
    "9223372036854775807",
    "'/data'",
    "\"\\u00e9\"",
    "r'\\d'",
    "b'x'",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    ":",
    "?",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    " in ",
    "has(",
    "size(",
    ".exists(x, ",
    ".map(x, ",
    ".all(y, x ",
    ".startsWith(",
    ".matches('(a+)+$')",
    "timestamp('2026-01-31')",
    "duration('1h')",
    "\n",
];

fn garbage() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,80}",
        prop::collection::vec(any::<u8>(), 0..80)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24).prop_map(|pieces| pieces.concat()),
        (prop::sample::select(&PIECES[..]), 1..3000_usize).prop_map(|(piece, count)| piece.repeat(count)),
    ]
}

/// Numbers, texts, lists, moments, and what may be any of these.
fn operand() -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "uid",
        "pid",
        "ret",
        "ppid",
        "comm",
        "fname",
        "container_id",
        "dt",
        "flags",
        "mode",
        "errno",
        "argv",
        "extended.x",
        "extended.mode",
        "extended['a-b']",
        "null",
        "0",
        "7",
        "-2",
        "2.5",
        "'sh'",
        "'/data/'",
        "''",
        "timestamp('2026-01-31 12:00:00')",
        "duration('90m')",
        "[1, 2]",
        "['a', 'sh']",
        "x",
    ]);
    let leaf = leaf.prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 3, |inner| {
        let infix = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
        prop_oneof![
            (inner.clone(), infix, inner.clone()).prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            inner.clone().prop_map(|a| format!("size({a})")),
            inner.clone().prop_map(|a| format!("string({a})")),
            inner.clone().prop_map(|a| format!("{a}.getHours()")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}.map(x, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            inner.prop_map(|a| format!("{a}.y")),
        ]
    })
    .boxed()
}

fn combined(leaf: BoxedStrategy<String>) -> BoxedStrategy<String> {
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} && {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} || {b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
        ]
    })
    .boxed()
}

fn expression() -> BoxedStrategy<String> {
    let relation = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">=", "in"]);
    let leaf = prop_oneof![
        (operand(), relation, operand()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (operand(), operand()).prop_map(|(a, b)| format!("{a}.startsWith({b})")),
        operand().prop_map(|a| format!("{a}.matches('^s|a$')")),
        operand().prop_map(|a| format!("has({a})")),
        (operand(), operand()).prop_map(|(list, a)| format!("{list}.exists(x, {a} == x)")),
    ];
    combined(leaf.boxed())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_the_compiler(text in garbage()) {
        exercise(&text);
    }

    #[test]
    fn no_row_breaks_an_expression_and_its_conjuncts_hold_where_it_does(text in expression()) {
        exercise(&text);
    }
}

/// Of types known beforehand and without null, where CEL's own words apply.
fn strict() -> BoxedStrategy<String> {
    let plain = || prop::sample::select(vec!["uid", "pid", "-3", "0", "2", "9223372036854775807"]);
    let number = prop_oneof![
        plain().prop_map(str::to_owned),
        (plain(), prop::sample::select(vec!["+", "-", "*", "/", "%"]), plain())
            .prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
    ];
    let text = prop::sample::select(vec![
        "comm",
        "fname",
        "'sh'",
        "''",
        "'/data/'",
        "(comm + fname)",
        "string(uid)",
    ]);
    let relation = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let test = prop::sample::select(vec!["startsWith", "endsWith", "contains"]);
    let leaf = prop_oneof![
        (number.clone(), relation(), number.clone()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (text.clone(), relation(), text.clone()).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (text.clone(), test, text.clone()).prop_map(|(a, test, b)| format!("{a}.{test}({b})")),
        number.clone().prop_map(|a| format!("{a} in [0, 2, 7, 1000]")),
        text.clone().prop_map(|a| format!("({a} in flags || flags.exists(f, f == {a}))")),
        number.clone().prop_map(|a| format!("([1, 2, {a}].all(n, n > {a}) || [{a}].map(n, n + 1)[0] == 3)")),
        number.prop_map(|a| format!("flags.filter(f, size(f) > {a}).size() == 1")),
        text.prop_map(|a| format!("(size({a}) * 2 < 14 && flags.exists_one(f, f != {a}))")),
    ];
    combined(leaf.boxed())
}

fn row(uid: i64, comm: &str, fname: &str, flag: &str) -> Tracking {
    let serde_json::Value::Object(fields) = json!({"flags": [flag, "O_CREAT"]}) else {
        unreachable!("an object")
    };
    let mut row = Tracking::new(TracerName::new("t"), WallTime(0), Extended::new(Details::Fields(fields)));
    (row.uid, row.pid) = (Some(uid), Some(7));
    (row.comm, row.fname) = (Some(comm.into()), Some(fname.into()));
    row
}

/// What the crate's interpreter says; `None` where it fails.
fn theirs(text: &str, uid: i64, comm: &str, fname: &str, flag: &str) -> Option<bool> {
    let env = Arc::new(Env::stdlib());
    let program = env.compile(text).expect("it parses");
    let mut context = Context::with_env(env);
    context.add_variable_from_value("uid", uid);
    context.add_variable_from_value("pid", 7_i64);
    context.add_variable_from_value("comm", comm.to_owned());
    context.add_variable_from_value("fname", fname.to_owned());
    context.add_variable_from_value("flags", vec![flag.to_owned(), "O_CREAT".to_owned()]);
    match program.execute(&context) {
        Ok(CelValue::Bool(truth)) => Some(truth),
        Ok(other) => panic!("{text}: {other:?}"),
        Err(_) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn says_what_the_crates_interpreter_says(
        text in strict(), uid in -3..9_i64, comm in "(sh|/data/|x|)", fname in "(/data/sh|sh|é|)", flag in "(sh|O_RDWR)",
    ) {
        let ours = match Expression::compile(&text, &Schema::default()) {
            Ok(expression) => expression.matches(&row(uid, &comm, &fname, &flag)).ok(),
            // What can be worked out beforehand fails beforehand.
            Err(error) => {
                let known = ["zero", "overflow"].iter().any(|cause| error.message.contains(cause));
                prop_assert!(known, "{}: {}", text, error);
                return Ok(());
            }
        };
        prop_assert_eq!(ours, theirs(&text, uid, &comm, &fname, &flag), "{}", text);
    }
}
