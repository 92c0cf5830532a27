//! Finds the parts of the filters that the kernel can decide: the lists and anchored patterns of a pattern filter,
//! and those parts of an expression that decide its result. The collector still applies every filter in full; it just
//! never sees the records that the kernel has dropped.

use std::collections::BTreeSet;

use expression::pushdown::prefixes_of;
use expression::{Expression, Schema};
use model::TracerName;
use model::pushdown::{CgroupField, Number, Prefix, Pushdown, Test};

use super::config::{FilterConfig, FilterKind, FiltersConfig};
use super::keys::OWN_KEYS;
use super::list::entries;
use super::python::translate;
use super::users::resolved;

impl FiltersConfig {
    /// Returns the parts that the kernel can decide. The filters must be valid.
    pub fn pushdown(&self) -> Pushdown {
        let mut sum = Pushdown::default();
        for (name, filter) in self.0.iter().filter(|(_, filter)| !filter.disabled) {
            let tracers: BTreeSet<_> = filter.tracers.iter().map(|name| TracerName::new(name)).collect();
            let Planned { rules, rest } = match filter.kind("") {
                Ok(FilterKind::System) => {
                    let [folders, files] = filter.system_paths();
                    sum.add_system(name, &tracers, folders, files);
                    continue;
                }
                Ok(FilterKind::PatternFilter) => of_patterns(filter),
                Ok(FilterKind::Cel) => of_expression(filter),
                Err(_) => continue,
            };
            sum.add(name, &tracers, rules, rest);
        }
        sum
    }
}

/// Kernel rules for one filter, and the text of the rest.
#[derive(Default)]
struct Planned {
    rules: Vec<Vec<Test>>,
    rest: Option<String>,
}

fn of_expression(filter: &FilterConfig) -> Planned {
    let (key, text, drops) = match (&filter.drop, &filter.keep) {
        (Some(text), None) => ("drop", text, true),
        (None, Some(text)) => ("keep", text, false),
        _ => return Planned::default(),
    };
    let Ok(expression) = Expression::compile(text, &Schema::default()) else { return Planned::default() };
    let (rules, exact) = expression.certain(drops);
    Planned { rules, rest: (!exact).then(|| format!("{key} = {text:?}")) }
}

fn of_patterns(filter: &FilterConfig) -> Planned {
    let (mut planned, mut left) = (Planned::default(), Vec::new());
    let counts = |key: &str| filter.enable_customize_exclude || OWN_KEYS.contains(&key);
    for (key, value) in filter.excludes.iter().filter(|(key, _)| counts(key)) {
        let mut field = Field::default();
        let mut texts = entries(value).unwrap_or_default();
        if let Some(name) = key.strip_prefix("exclude_") {
            texts = resolved(name, texts);
        }
        for entry in texts {
            let exact = match (key.strip_prefix("re_exclude_"), key.strip_prefix("exclude_")) {
                (Some(name), _) => field.pattern(name, &entry),
                (_, Some(name)) => field.exactly(name, &entry),
                _ => false,
            };
            if !exact {
                left.push(format!("{key} {entry}"));
            }
        }
        planned.rules.extend(field.rules());
    }
    planned.rest = (!left.is_empty()).then(|| left.join(", "));
    planned
}

/// Values that one field must not have, as far as the kernel can check them.
#[derive(Default)]
struct Field {
    tests: Vec<Test>,
    prefixes: Vec<Prefix>,
}

impl Field {
    /// Adds a value. Returns false if the kernel may pass records that the filter drops because of it.
    fn exactly(&mut self, name: &str, entry: &str) -> bool {
        let number = || entry.parse::<i64>().ok().filter(|number| number.to_string() == entry);
        let test = match name {
            "comm" if !entry.is_empty() => Test::comm(entry, true),
            "tracer" => Some(Test::Tracer { name: entry.to_owned(), not: false }),
            "errno" => Test::errno(entry),
            "fname" => {
                // The filter ignores surrounding spaces.
                self.prefixes.extend(Prefix::new(entry, true));
                return Prefix::new(entry, true).is_some();
            }
            _ if CgroupField::named(name).is_some() && !entry.is_empty() => {
                CgroupField::named(name).map(|field| Test::field(field, entry, true))
            }
            _ => Number::named(name).and_then(|name| Some(Test::number(name, number()?))),
        };
        let known = test.is_some();
        self.tests.extend(test);
        known
    }

    fn pattern(&mut self, name: &str, pattern: &str) -> bool {
        let Some(translated) = (name == "fname").then(|| translate(pattern).ok()).flatten() else {
            return false;
        };
        if translated.backtracks {
            return false;
        }
        let (prefixes, exact) = prefixes_of(&translated.pattern);
        // The filter searches the text without surrounding spaces.
        let kept = |prefix: &Prefix| prefix.whole || !prefix.text.ends_with(char::is_whitespace);
        let all = prefixes.iter().all(kept);
        self.prefixes.extend(prefixes.into_iter().filter(kept));
        exact && all
    }

    fn rules(self) -> impl Iterator<Item = Vec<Test>> {
        let Self { tests, prefixes } = self;
        let paths = (!prefixes.is_empty()).then_some(Test::Path { prefixes, not: false });
        tests.into_iter().chain(paths).map(|test| vec![test])
    }
}
