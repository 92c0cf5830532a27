//! Compiles a query to one SQL statement over all tables that it concerns. Each table is one arm of a `UNION ALL`; SQLite
//! reads each arm in order (by its time index, if it has one), merges them, and stops at the limit.

use model::schema::{Column, ColumnKind};
use rusqlite::types::Value;

use super::columns::{Names, tracking};
use super::parts::{Part, TIME, parts};
use super::sql::Sql;
use super::sql::Target;
use super::{Condition, Matching, Query};
use crate::error::reading;
use crate::rows::{Answer, Shown};
use crate::{Error, Store, Table, when};

impl Store {
    /// Checks a query and prepares its statement.
    ///
    /// # Errors
    /// When the query is wrong ([`Error::is_usage`]) or the store can't be read.
    pub fn query(&self, query: &Query) -> Result<Answer<'_>, Error> {
        let mut tables = self.tables()?;
        tables.retain(|table| concerns(query, table));
        let names = Names { store: self, tables: &tables, any_field: query.any_field };
        let plan = Plan::of(query, &names)?;
        let shown = plan.shown.iter().map(|(name, target)| Shown {
            name: name.clone(),
            kind: kind(target),
            declared: None,
        });
        let shown = shown.collect();
        if tables.is_empty() {
            return Ok(Answer::empty(self, shown));
        }
        let mut sql = Sql::default();
        let parts = parts(self, tables).map_err(reading("times of rows"))?;
        let text = plan.statement(query, &parts, &mut sql);
        Answer::prepare(self, &text, sql.into_params(), shown, plan.matching)
    }
}

fn concerns(query: &Query, table: &Table) -> bool {
    (query.tracers.is_empty() || query.tracers.contains(&table.tracer))
        && query.collector_id.as_ref().is_none_or(|id| *id == table.collector_id)
}

fn kind(target: &Target) -> ColumnKind {
    match target {
        Target::Tracer | Target::CollectorId => ColumnKind::Text,
        Target::Id | Target::File => ColumnKind::Integer,
        Target::Column { kind, .. } => *kind,
        Target::Field { .. } => ColumnKind::Json,
    }
}

/// A query with its names looked up and its values checked.
struct Plan {
    shown: Vec<(String, Target)>,
    tests: Vec<(Target, Test)>,
    order: Vec<(String, Target)>,
    matching: Vec<Matching>,
}

/// A test of one value.
enum Test {
    Null,
    Equal(Value),
    NotBefore(i64),
    NotAfter(i64),
    /// Equality of a field: text with the text, a number with the number, objects with their JSON; a list equals its JSON,
    /// or contains the value.
    Field(String),
}

impl Plan {
    fn of(query: &Query, names: &Names<'_>) -> Result<Self, Error> {
        let find = |name: &String| Ok((name.clone(), names.find(name)?));
        let shown = match query.columns.as_slice() {
            [] => tracking(),
            columns => columns.iter().map(find).collect::<Result<_, Error>>()?,
        };
        let order = query.order_by.iter().map(find).collect::<Result<Vec<_>, Error>>()?;
        if query.distinct
            && let Some((column, _)) = order.iter().find(|(_, target)| shown.iter().all(|(_, s)| s != target))
        {
            return Err(Error::HiddenOrder { column: column.clone() });
        }
        let mut tests = Vec::new();
        for condition in &query.wheres {
            let target = names.find(&condition.column)?;
            let test = test(condition, &target)?;
            tests.push((target, test));
        }
        tests.extend(query.since.map(|since| (Target::time(), Test::NotBefore(since))));
        tests.extend(query.until.map(|until| (Target::time(), Test::NotAfter(until))));
        let matching =
            query.expressions.iter().map(|expression| Matching::new(expression, query.narrow)).collect();
        Ok(Self { shown, tests, order, matching })
    }

    fn statement(&self, query: &Query, tables: &[Part], sql: &mut Sql) -> String {
        let keys = self.sort_keys(query, tables);
        let arms = tables.iter().map(|part| self.arm(part, &keys, sql)).collect::<Vec<_>>();
        let union = arms.join(" UNION ALL ");
        let direction = if query.desc { "DESC" } else { "ASC" };
        let terms = |columns: &mut dyn Iterator<Item = usize>| {
            columns.map(|column| format!("{column} {direction}")).collect::<Vec<_>>().join(", ")
        };
        let limit = match i64::try_from(query.limit) {
            Ok(0) | Err(_) => -1,
            Ok(limit) => limit,
        };
        let start = i64::try_from(query.start).unwrap_or(i64::MAX);
        let (limit, start) = (sql.bind(limit), sql.bind(start));
        if query.distinct {
            let order = terms(&mut self.distinct_order().into_iter().map(|index| index + 1));
            format!("SELECT DISTINCT * FROM ({union}) ORDER BY {order} LIMIT {limit} OFFSET {start}")
        } else {
            let order = terms(&mut (0..keys.len()).map(|key| self.shown.len() + key + 1));
            format!("{union} ORDER BY {order} LIMIT {limit} OFFSET {start}")
        }
    }

    /// Returns the values that rows are sorted by, which are selected beside the columns shown. The last of them make the
    /// order total. Those that are equal in all rows are left out: with them SQLite would sort instead of reading in order.
    fn sort_keys(&self, query: &Query, tables: &[Part]) -> Vec<Target> {
        if query.distinct {
            return Vec::new();
        }
        let mut keys: Vec<Target> = self.order.iter().map(|(_, target)| target.clone()).collect();
        let time =
            [Target::time(), Target::of(Column::BootNs)].into_iter().filter(|time| !keys.contains(time));
        keys.extend(time.collect::<Vec<_>>());
        let is_one = |differ: fn(&Table, &Table) -> bool| {
            tables.windows(2).all(|pair| !differ(&pair[0].table, &pair[1].table))
        };
        if is_one(|one, other| one.name != other.name) {
            keys.retain(|target| !matches!(target, Target::Tracer | Target::CollectorId));
        } else {
            keys.extend([Target::Tracer, Target::CollectorId]);
        }
        if !is_one(|one, other| one.file != other.file) {
            keys.push(Target::File);
        }
        if !keys.contains(&Target::Id) {
            keys.push(Target::Id);
        }
        keys
    }

    /// Returns the indexes (from 0) of the shown columns that distinct rows are sorted by: those that the query orders by,
    /// then the time, then all others.
    fn distinct_order(&self) -> Vec<usize> {
        let asked =
            self.order.iter().filter_map(|(_, target)| self.shown.iter().position(|(_, s)| s == target));
        let time = [Target::time(), Target::of(Column::Dt)]
            .into_iter()
            .find_map(|time| self.shown.iter().position(|(_, target)| *target == time));
        let mut indexes: Vec<usize> = asked.chain(time).collect();
        indexes.extend(0..self.shown.len());
        let mut known = std::collections::HashSet::new();
        indexes.retain(|index| known.insert(*index));
        indexes
    }

    fn arm(&self, part: &Part, keys: &[Target], sql: &mut Sql) -> String {
        let table = &part.table;
        let mut results = Vec::new();
        for (index, (_, target)) in self.shown.iter().enumerate() {
            results.push(format!("{} AS c{index}", sql.shown(table, target)));
        }
        for (index, target) in keys.iter().enumerate() {
            let order = part.order.clone().filter(|_| *target == Target::time());
            results.push(format!("{} AS k{index}", order.unwrap_or_else(|| sql.value(table, target))));
        }
        let mut tests = vec![part.rows.clone()];
        tests.retain(|rows| !rows.is_empty());
        tests.extend(self.tests.iter().map(|(target, test)| compare(table, target, test, sql)));
        tests.extend(self.matching.iter().map(|matching| matching.condition(table, sql)));
        let filter = if tests.is_empty() { String::new() } else { format!(" WHERE {}", tests.join(" AND ")) };
        format!("SELECT {} FROM {}{filter}", results.join(", "), table.from())
    }
}

fn test(condition: &Condition, target: &Target) -> Result<Test, Error> {
    let Some(value) = &condition.value else { return Ok(Test::Null) };
    let integer = || {
        let bad = || Error::BadValue {
            column: condition.column.clone(),
            expected: "a whole number or null",
            found: value.clone(),
        };
        value.trim().parse::<i64>().map(|number| Test::Equal(number.into())).map_err(|_| bad())
    };
    match target {
        Target::Id | Target::File => integer(),
        Target::Column { kind: ColumnKind::Integer, .. } => integer(),
        Target::Column { kind: ColumnKind::Time, .. } => {
            integer().or_else(|_| when::moment(value).map(|at| Test::Equal(at.into())))
        }
        Target::Tracer | Target::CollectorId | Target::Column { .. } => Ok(Test::Equal(value.clone().into())),
        Target::Field { .. } => Ok(Test::Field(value.clone())),
    }
}

fn compare(table: &Table, target: &Target, test: &Test, sql: &mut Sql) -> String {
    let value = sql.value(table, target);
    match test {
        Test::Null => format!("{value} IS NULL"),
        Test::Equal(expected) => format!("{value} = {}", sql.bind(expected.clone())),
        Test::NotBefore(time) => {
            let test = format!("{value} >= {}", sql.bind(*time));
            // Rows with local time only may have an index for it, and no offset is two days.
            let day = model::WallTime(time.div_euclid(1000) - 2 * 86_400_000_000).to_text();
            let coarse = |day: &str, sql: &mut Sql| format!("{test} AND dt >= {}", sql.bind(day.to_owned()));
            if table.has(TIME) || !table.has("dt") { test } else { coarse(&day[..10], sql) }
        }
        Test::NotAfter(time) => format!("{value} <= {}", sql.bind(*time)),
        Test::Field(expected) => {
            let found = found_by(table, target, expected, sql);
            let kind = sql.field_type(table, target);
            let text = sql.bind(expected.clone());
            let mut cases = format!("WHEN 'text' THEN {value} = {text}");
            let mut is_item = format!("item.value = {text}");
            if let Some(number) = number(expected) {
                let number = sql.bind(number);
                is_item.push_str(&format!(" OR item.value = {number}"));
                cases.push_str(&format!(
                    " WHEN 'integer' THEN {value} = {number} WHEN 'real' THEN {value} = {number}"
                ));
            }
            // Booleans are compared by name; lists and objects as JSON, whatever its white space.
            cases.push_str(&format!(" WHEN 'true' THEN {text} = 'true' WHEN 'false' THEN {text} = 'false'"));
            // SQLite may evaluate both sides of AND, and json() fails on other text: only CASE keeps it from that.
            let is_json = format!("CASE WHEN json_valid({text}) THEN {value} = json({text}) ELSE 0 END");
            let items = format!("json_each(CASE {kind} WHEN 'array' THEN {value} ELSE '[]' END) AS item");
            cases.push_str(&format!(" WHEN 'object' THEN {is_json}"));
            cases.push_str(&format!(
                " WHEN 'array' THEN ({is_json}) OR EXISTS (SELECT 1 FROM {items} WHERE {is_item})"
            ));
            format!("{found}(CASE {kind} {cases} ELSE 0 END)")
        }
    }
}

/// Returns a condition in SQL, followed by AND, by which a columnar store finds the rows whose field may equal the text; empty if
/// rows can't be found by this field.
fn found_by(table: &Table, target: &Target, expected: &str, sql: &mut Sql) -> String {
    let Target::Field { paths } = target else { return String::new() };
    let [path] = paths.as_slice() else { return String::new() };
    let name = path.trim_start_matches("$.\"").trim_end_matches('"');
    let mut found = |value| sql.sought(table, name, vec![value]);
    // A row is also found if its field has another type than the one that the store searches by.
    let as_number = expected.trim().parse::<i64>().ok().map(Value::Integer);
    let as_text = Some(expected).filter(|text| !text.contains('\0')).map(|text| Value::Text(text.to_owned()));
    let found = as_number.and_then(&mut found).or_else(|| as_text.and_then(&mut found));
    found.map_or_else(String::new, |found| format!("{found} AND "))
}

fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    let whole = text.parse::<i64>().map(Value::Integer);
    whole.ok().or_else(|| text.parse::<f64>().ok().filter(|real| real.is_finite()).map(Value::Real))
}
