//! Derives kernel tests from an expression, see [`super`].
//!
//! For an expression and an answer (true or false), [`certain`] finds alternatives, each a list of tests that the
//! kernel can make: where all tests of one list hold, the expression certainly has that answer. The result is exact if
//! the expression has the answer nowhere else. It walks the tree from the root; `!` swaps the answer, `&&` asked for
//! true (and `||` asked for false) combines the alternatives of its parts, `||` asked for true (and `&&` asked for
//! false) appends them, and a part that the kernel can't test contributes nothing and makes the result inexact.
//!
//! ```text
//!  uid in [1, 2] && fname.startsWith('/a/')      certain(…, true)
//!
//!            &&                 {uid == 1, fname in /a/*}, {uid == 2, fname in /a/*}
//!          ╱    ╲                                  ▲ combined
//!        in    startsWith       {uid == 1}, {uid == 2}      {fname in /a/*}
//! ```
//!
//! The collector applies the whole expression to every record that the kernel let through. If the result was exact, no
//! kernel record is left for it to drop.

use model::pushdown::{CgroupField, Number, Test};
use model::schema::Column;

use super::prefixes_of;
use crate::calls::Function;
use crate::ir::{Literal, Node, Relation};

/// Largest number of alternatives for one expression.
const MAX_RULES: usize = 64;

/// Alternatives under which an expression certainly has a given answer: all tests of one of the lists hold.
pub(crate) struct Certain {
    pub(crate) rules: Vec<Vec<Test>>,
    /// True if the expression has the answer nowhere else.
    pub(crate) exact: bool,
}

impl Certain {
    fn nothing() -> Self {
        Self { rules: Vec::new(), exact: false }
    }

    fn one(test: Option<Test>) -> Self {
        test.map_or_else(Self::nothing, |test| Self { rules: vec![vec![test]], exact: true })
    }

    fn negated(test: Option<Test>, wanted: bool) -> Self {
        Self::one(test.map(|test| if wanted { test } else { test.negated() }))
    }
}

/// Returns the alternatives under which `node` certainly evaluates to `wanted`.
pub(crate) fn certain(node: &Node, wanted: bool) -> Certain {
    match (node, wanted) {
        (Node::Not(of), _) => certain(of, !wanted),
        (Node::And(parts), true) | (Node::Or(parts), false) => all(parts, wanted),
        (Node::And(parts), false) | (Node::Or(parts), true) => any(parts, wanted),
        (Node::Compare(relation, sides), _) => match sides.as_ref() {
            [of, Node::Const(literal)] => compared(of, *relation, literal, wanted),
            [Node::Const(literal), of] => compared(of, relation.mirrored(), literal, wanted),
            _ => Certain::nothing(),
        },
        // Lists too short to have become a set.
        (Node::In(sides), _) => match sides.as_ref() {
            [of, Node::List(elements)] => {
                let test = |element: &Node| is(of, element.literal()?);
                one_of(elements.iter().map(test).collect(), wanted)
            }
            [Node::Const(Literal::Int(pid)), Node::Column(Column::Ancestors)] => {
                let test = u32::try_from(*pid).map(|pid| Test::Tree { pid, not: false });
                Certain::negated(test.ok(), wanted)
            }
            _ => Certain::nothing(),
        },
        (Node::InInts(of, set), _) => {
            let mut numbers: Vec<i64> = set.iter().copied().collect();
            numbers.sort_unstable();
            one_of(numbers.iter().map(|number| is(of, &Literal::Int(*number))).collect(), wanted)
        }
        (Node::InTexts(of, set), _) => {
            let mut texts: Vec<&str> = set.iter().map(AsRef::as_ref).collect();
            texts.sort_unstable();
            one_of(texts.into_iter().map(|text| is(of, &Literal::Text(text.into()))).collect(), wanted)
        }
        (Node::Call(Function::StartsWith, arguments), _) => match arguments.as_slice() {
            [Node::Column(Column::Fname), Node::Const(Literal::Text(prefix))] => {
                Certain::negated(Test::path(prefix, false), wanted)
            }
            [Node::Column(Column::Comm), Node::Const(Literal::Text(prefix))] => {
                Certain::negated(Test::comm(prefix, false), wanted)
            }
            [of, Node::Const(Literal::Text(prefix))] => {
                Certain::negated(cgroup_field(of).map(|field| Test::field(field, prefix, false)), wanted)
            }
            _ => Certain::nothing(),
        },
        (Node::Has(of), _) => {
            Certain::negated(cgroup_field(of).map(|field| Test::missing(field).negated()), wanted)
        }
        (Node::Matches(of, pattern), _) if matches!(**of, Node::Column(Column::Fname)) => {
            let (prefixes, exact) = prefixes_of(pattern.as_str());
            if prefixes.is_empty() || !(wanted || exact) {
                return Certain::nothing();
            }
            Certain { exact, ..Certain::negated(Some(Test::Path { prefixes, not: false }), wanted) }
        }
        _ => Certain::nothing(),
    }
}

/// Requires all parts: combines each alternative of one part with each of the others.
fn all(parts: &[Node], wanted: bool) -> Certain {
    let mut sum = Certain { rules: vec![Vec::new()], exact: true };
    for part in parts {
        let Certain { rules, exact } = certain(part, wanted);
        let with = |one: &Vec<Test>| rules.iter().map(|other| [&one[..], other].concat()).collect::<Vec<_>>();
        sum = Certain { rules: sum.rules.iter().flat_map(with).collect(), exact: sum.exact && exact };
        if sum.rules.is_empty() || sum.rules.len() > MAX_RULES {
            return Certain::nothing();
        }
    }
    sum
}

/// Requires any part: appends the alternatives. Stops after a part that may exceed the limit of work, because then the
/// expression fails instead of having an answer.
fn any(parts: &[Node], wanted: bool) -> Certain {
    let mut sum = Certain { rules: Vec::new(), exact: true };
    for part in parts {
        let Certain { rules, exact } = certain(part, wanted);
        sum.exact &= exact;
        sum.rules.extend(rules);
        if !is_cheap(part) || sum.rules.len() > MAX_RULES {
            sum.exact = false;
            sum.rules.truncate(MAX_RULES);
            break;
        }
    }
    sum
}

fn is_cheap(node: &Node) -> bool {
    match node {
        Node::Const(_) | Node::Column(_) | Node::Field(_) => true,
        Node::Not(of) | Node::Has(of) | Node::InTexts(of, _) | Node::InInts(of, _) | Node::Matches(of, _) => {
            is_cheap(of)
        }
        Node::Compare(_, sides) | Node::In(sides) => sides.iter().all(is_cheap),
        Node::And(parts) | Node::Or(parts) | Node::List(parts) => parts.iter().all(is_cheap),
        Node::Call(Function::StartsWith, parts) => parts.iter().all(is_cheap),
        _ => false,
    }
}

fn one_of(tests: Vec<Option<Test>>, wanted: bool) -> Certain {
    let exact = tests.iter().all(Option::is_some);
    if !wanted && !exact {
        return Certain::nothing();
    }
    let mut merged: Vec<Test> = Vec::new();
    for test in tests.into_iter().flatten() {
        if !merged.iter_mut().any(|other| other.take(&test)) {
            merged.push(test);
        }
    }
    let rules = match wanted {
        true => merged.into_iter().map(|test| vec![test]).collect(),
        false => vec![merged.into_iter().map(Test::negated).collect()],
    };
    Certain { rules, exact }
}

fn compared(of: &Node, relation: Relation, literal: &Literal, wanted: bool) -> Certain {
    if let (Some(number), Literal::Int(is)) = (number(of), literal) {
        // A known number is never null, so each relation has an inverse.
        let (low, high, not) = match relation {
            Relation::Equal => (*is, *is, false),
            Relation::NotEqual => (*is, *is, true),
            Relation::Less => (*is, i64::MAX, true),
            Relation::LessEqual => (i64::MIN, *is, false),
            Relation::Greater => (i64::MIN, *is, true),
            Relation::GreaterEqual => (*is, i64::MAX, false),
        };
        return Certain::negated(Some(Test::Number { number, low, high, not }), wanted);
    }
    match relation {
        Relation::Equal => Certain::negated(is(of, literal), wanted),
        Relation::NotEqual => Certain::negated(is(of, literal), !wanted),
        _ => Certain::nothing(),
    }
}

fn is(of: &Node, literal: &Literal) -> Option<Test> {
    match (of, literal) {
        (_, Literal::Int(is)) => Some(Test::number(number(of)?, *is)),
        (Node::Column(Column::Comm), Literal::Text(text)) => Test::comm(text, true),
        (Node::Column(Column::Fname), Literal::Text(text)) => Test::path(text, true),
        (Node::Column(Column::Tracer), Literal::Text(text)) => {
            Some(Test::Tracer { name: text.to_string(), not: false })
        }
        (Node::Field(name), Literal::Text(text)) if &**name == "errno" => Test::errno(text),
        (of, Literal::Text(text)) => Some(Test::field(cgroup_field(of)?, text, true)),
        (of, Literal::Null) => Some(Test::missing(cgroup_field(of)?)),
        _ => None,
    }
}

fn cgroup_field(of: &Node) -> Option<CgroupField> {
    match of {
        Node::Column(Column::ContainerId) => CgroupField::named(Column::ContainerId.name()),
        Node::Field(name) => CgroupField::named(name),
        _ => None,
    }
}

fn number(of: &Node) -> Option<Number> {
    match of {
        Node::Column(column) => Number::named(column.name()),
        Node::Field(name) => Number::named(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Expression, Schema};
    use model::pushdown::Rule;

    fn shown(text: &str, answer: bool) -> String {
        let (rules, exact) = Expression::compile(text, &Schema::default()).unwrap().certain(answer);
        let rule = |tests| Rule { filter: String::new(), tracers: Default::default(), tests }.to_string();
        let all: Vec<_> = rules.into_iter().map(rule).collect();
        format!("{}{}", all.join("; "), if exact { "" } else { " …" })
    }

    #[test]
    fn the_kernel_gets_the_tests_that_it_can_make() {
        let table = [
            (
                "uid in [1, 2] && fname.startsWith('/a/')",
                true,
                "uid == 1 && fname in /a/*; uid == 2 && fname in /a/*",
            ),
            ("uid in [1, 2] && fname.startsWith('/a/')", false, "uid != 1 && uid != 2; fname not in /a/*"),
            ("comm == 'sh' || exe == '/x' || uid < 5", true, "comm == \"sh\"; uid < 5 …"),
            ("!(uid >= 5 && comm.startsWith('k'))", true, "uid < 5; !comm.startsWith(\"k\")"),
            ("errno == 'EACCES'", true, "ret == -13"),
            (
                "errno in ['EACCES', 'ENOENT'] && tracer == 'open'",
                true,
                "ret == -13 && tracer == \"open\"; ret == -2 && tracer == \"open\"",
            ),
            ("fname.matches('^/a/(b|c)$')", true, "fname in /a/b /a/c"),
            ("fname.matches('^/a/[^/]*$')", false, " …"),
            ("fname in ['/a', '/b'] || pid == 7", true, "fname in /a /b; pid == 7"),
            ("argv.exists(a, a == 'x') || uid == 1", true, " …"),
            ("uid == 1 || argv.exists(a, a == 'x')", true, "uid == 1 …"),
            ("uid == 1 && argv.exists(a, a == 'x')", true, " …"),
            (r"comm == 'a\\b'", true, " …"),
            ("comm == 'longer than a command'", false, " …"),
            ("ret > -1 && ret != 3", true, "ret > -1 && ret != 3"),
            ("extended.cgroup_id == 5", true, "cgroup_id == 5"),
            ("container_id == 'ab' && uid == 1", true, "container_id in ab && uid == 1"),
            ("container_id in ['ab', 'cd']", false, "container_id not in ab cd"),
            ("container_id == null", true, "container_id == null"),
            ("has(extended.pod_uid)", true, "pod_uid != null"),
            ("extended.cgroup.startsWith('/docker/')", false, "cgroup not in /docker/*"),
            ("container_runtime != 'docker'", true, "container_runtime not in docker"),
            ("uid > 1.5", true, " …"),
            ("7 in ancestors || 8 in ancestors", true, "7 in ancestors; 8 in ancestors"),
            ("7 in ancestors || 8 in ancestors", false, "!7 in ancestors && !8 in ancestors"),
            ("-7 in ancestors", true, " …"),
            ("pid in ancestors", true, " …"),
            ("ancestors == null", true, " …"),
        ];
        for (text, answer, expected) in table {
            assert_eq!(shown(text, answer), expected, "{text} {answer}");
        }
    }
}
