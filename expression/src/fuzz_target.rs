//! A fuzz target that runs everything an expression can be used for; also used by property tests.

use serde_json::json;

use super::{Expression, Relation, Schema, Source, Subject, Test, Value};
use model::{Details, Extended, TracerName, Tracking, WallTime};

/// Compiles `text` and applies it to rows of every shape. Returns false if the text is refused.
///
/// # Panics
/// When a property is violated: an expression holds for a row but one of its conjuncts does not, or an error has no
/// position in the text.
pub fn fuzz_target(text: &str) -> bool {
    let expression = match Expression::compile(text, &Schema::default()) {
        Ok(expression) => expression,
        Err(error) => {
            assert!(error.line >= 1 && error.column >= 1, "{text:?}: {error}");
            assert!(!error.show(text).is_empty());
            return false;
        }
    };
    let conjuncts = expression.conjuncts();
    for row in rows() {
        if expression.matches(&row) == Ok(true) {
            for conjunct in &conjuncts {
                assert!(holds(&row, conjunct), "{text:?} holds and {conjunct:?} does not, of {row:?}");
            }
        }
    }
    true
}

/// Evaluates a conjunct as a store would.
fn holds(row: &Tracking, conjunct: &super::Conjunct) -> bool {
    let value = match &conjunct.of {
        Subject::Column(column) => row.column(*column),
        Subject::Field(name) => row.field(name),
    };
    match &conjunct.test {
        Test::In(literals) => literals.iter().any(|literal| literal.value().equals(&value)),
        Test::StartsWith(prefix) => matches!(&value, Value::Text(text) if text.starts_with(prefix.as_ref())),
        Test::Compare(relation, literal) => match relation {
            Relation::Equal => value.equals(&literal.value()),
            Relation::NotEqual => !value.equals(&literal.value()),
            relation => {
                let order = value.order(&literal.value(), "");
                order.ok().flatten().is_some_and(|order| match relation {
                    Relation::Less => order.is_lt(),
                    Relation::LessEqual => order.is_le(),
                    Relation::Greater => order.is_gt(),
                    _ => order.is_ge(),
                })
            }
        },
    }
}

/// Returns an empty row, a full row, and a row with fields of other types than built-in tracers give them.
fn rows() -> [Tracking; 3] {
    let row = |fields| {
        let fields = if let serde_json::Value::Object(fields) = fields { fields } else { Default::default() };
        Tracking::new(
            TracerName::new("t"),
            WallTime(1_769_860_805_250_000),
            Extended::new(Details::Fields(fields)),
        )
    };
    let mut full = row(json!({
        "flags": ["O_RDWR", "O_CREAT"], "mode": 420, "errno": "ENOENT", "thread": true, "argv": ["sh", "-c", "é"],
        "x": {"y": [1, 2.5, null, "z"]}, "ino": u64::MAX,
    }));
    (full.pid, full.uid, full.gid, full.ret) = (Some(7), Some(0), Some(i64::MAX), Some(-2));
    (full.comm, full.fname) = (Some("sh".into()), Some("/data/é".into()));
    full.container_id = Some("c".into());
    let odd =
        row(json!({"flags": 3, "mode": "rw", "errno": null, "thread": [], "argv": {"a": 1}, "x": -0.0}));
    let mut nothing = row(json!({}));
    nothing.dt = None;
    [nothing, full, odd]
}
