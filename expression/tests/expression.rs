//! Expressions under random input: no text makes the compiler panic, no row the evaluator, and expressions that pass
//! the checker have the same result as in the `cel` crate's own interpreter.

use std::sync::Arc;

use cel::{Context, Env, Value as CelValue};
use expression::{Expression, Schema, fuzz_target};
use model::{Details, Extended, TracerName, Tracking, WallTime};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::json;

/// Pieces of text that are almost an expression when put together at random.
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

fn one_of(texts: &'static [&'static str]) -> BoxedStrategy<String> {
    prop::sample::select(texts).prop_map(str::to_owned).boxed()
}

/// Operands by type: numbers, texts, lists, timestamps, and values of any type. Most have the right type.
struct Operands {
    number: BoxedStrategy<String>,
    text: BoxedStrategy<String>,
    list: BoxedStrategy<String>,
    time: BoxedStrategy<String>,
    any: BoxedStrategy<String>,
}

fn leaves() -> Operands {
    Operands {
        number: one_of(&[
            "uid",
            "pid",
            "ret",
            "ppid",
            "mode",
            "0",
            "7",
            "-2",
            "gid",
            "9223372036854775807",
            "null",
            "extended.x",
            "extended.mode",
            "extended.ino",
        ]),
        text: one_of(&[
            "comm",
            "fname",
            "container_id",
            "errno",
            "'sh'",
            "'/data/'",
            "''",
            "null",
            "extended.errno",
        ]),
        list: one_of(&[
            "flags",
            "argv",
            "extended.flags",
            "extended.argv",
            "[1, 2]",
            "['a', null]",
            "extended.x.y",
        ]),
        time: one_of(&["dt", "timestamp('2026-01-31 12:00:00')", "null"]),
        any: one_of(&[
            "extended.x",
            "extended['a-b']",
            "extended.flags",
            "extended.mode",
            "extended.x.y",
            "null",
        ]),
    }
}

fn operands(depth: u32) -> Operands {
    if depth == 0 {
        return leaves();
    }
    let (plain, inner) = (leaves(), operands(depth - 1));
    let Operands { number, text, list, time, any } = inner;
    let sign = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
    Operands {
        number: prop_oneof![
            plain.number,
            (number.clone(), sign, number.clone()).prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
            list.clone().prop_map(|a| format!("size({a})")),
            text.clone().prop_map(|a| format!("int({a})")),
            time.clone().prop_map(|a| format!("({a}).getHours()")),
        ]
        .boxed(),
        text: prop_oneof![
            plain.text,
            number.clone().prop_map(|a| format!("string({a})")),
            (text.clone(), text.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
        ]
        .boxed(),
        list: prop_oneof![
            plain.list,
            (list.clone(), any.clone()).prop_map(|(a, b)| format!("{a}.map(x, [x, {b}])")),
            (list.clone(), any.clone()).prop_map(|(a, b)| format!("{a}.filter(x, dyn(x) != {b})")),
        ]
        .boxed(),
        time: prop_oneof![plain.time, time.prop_map(|a| format!("({a} - duration('90m'))"))].boxed(),
        any: prop_oneof![
            plain.any,
            number.clone().prop_map(|a| format!("dyn({a})")),
            text.prop_map(|a| format!("extended[{a}]")),
            (list, number).prop_map(|(a, b)| format!("dyn({a})[{b}]")),
        ]
        .boxed(),
    }
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
    let relation = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let related = move |a: BoxedStrategy<String>, b: BoxedStrategy<String>| {
        (a, relation(), b).prop_map(|(a, sign, b)| format!("{a} {sign} {b}"))
    };
    let Operands { number, text, list, time, any } = operands(2);
    let test = prop::sample::select(vec!["startsWith", "endsWith", "contains"]);
    let leaf = prop_oneof![
        3 => related(number.clone(), number.clone()),
        3 => related(text.clone(), text.clone()),
        1 => related(time.clone(), time),
        3 => related(any.clone(), any.clone()),
        // Mostly of types that don't match.
        1 => related(number, text.clone()),
        1 => (text.clone(), test, text.clone()).prop_map(|(a, test, b)| format!("{a}.{test}({b})")),
        1 => text.clone().prop_map(|a| format!("{a}.matches('^s|a$')")),
        1 => text.prop_map(|a| format!("{a} in ['sh', '', 'x', 'ENOENT']")),
        1 => (any.clone(), list.clone()).prop_map(|(a, b)| format!("{a} in {b}")),
        1 => (list, any).prop_map(|(list, a)| format!("{list}.exists(x, dyn(x) == {a})")),
    ];
    combined(leaf.boxed())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, rng_seed: RngSeed::Fixed(23), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_compiler_panic(text in garbage()) {
        fuzz_target(&text);
    }
}

#[test]
fn no_row_makes_an_expression_panic_and_its_conjuncts_hold_where_it_holds() {
    let config =
        Config { cases: 1500, rng_seed: RngSeed::Fixed(23), failure_persistence: None, ..Config::default() };
    let compiled = std::cell::Cell::new(0);
    let each = |text: String| {
        compiled.set(compiled.get() + i32::from(fuzz_target(&text)));
        Ok(())
    };
    TestRunner::new(config).run(&expression(), each).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(compiled.get() > 700, "only {} of 1500 can be compiled", compiled.get());
}

/// Expressions with types known at compile time and without null, for which CEL's own semantics apply.
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

/// Returns the result of the crate's interpreter; `None` if it fails.
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
    #![proptest_config(ProptestConfig { cases: 1000, rng_seed: RngSeed::Fixed(23), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn results_equal_those_of_the_crates_interpreter(
        text in strict(), uid in -3..9_i64, comm in "(sh|/data/|x|)", fname in "(/data/sh|sh|é|)", flag in "(sh|O_RDWR)",
    ) {
        let ours = match Expression::compile(&text, &Schema::default()) {
            Ok(expression) => expression.matches(&row(uid, &comm, &fname, &flag)).ok(),
            // Constant parts that fail are refused at compile time.
            Err(error) => {
                let known = ["zero", "overflow"].iter().any(|cause| error.message.contains(cause));
                prop_assert!(known, "{}: {}", text, error);
                return Ok(());
            }
        };
        prop_assert_eq!(ours, theirs(&text, uid, &comm, &fname, &flag), "{}", text);
    }
}
