//! `top --once`: counts for one window, prints, and ends.

use std::path::Path;
use std::time::Duration;

use actors::clock;
use analyzer::render::Names;
use analyzer::top::{Busy, Counter, Kind};
use analyzer::when;
use comfy_table::{Table, presets};
use expression::Expression;
use serde_json::{Value, json};

use super::accounts::{Accounts, Rate};
use super::args::TopArgs;
use super::feed::{Feed, News};
use super::words::{HEADS, conservation, name, numbers, rates};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, to_json};

/// Version of the JSON that is printed.
const SCHEMA: u32 = 1;

/// Counts, prints and ends.
pub(super) fn run(workdir: &Path, args: &TopArgs, filter: Option<Expression>) -> Outcome {
    let reads_all = filter.is_some();
    let mut counter = Counter::new(args.window, filter);
    let mut accounts = Accounts::new(args.window);
    let since = moment();
    let feed = Feed::begin(workdir, reads_all)?;
    let (began, length) = (clock::now(), Duration::from_secs(args.window));
    let mut left_out = 0;
    loop {
        let left = length.saturating_sub(began.elapsed());
        match feed.news.recv_timeout(left) {
            Ok(News::Rows { tracer, rows }) => counter.add(&tracer, &rows),
            Ok(News::LeftOut(count)) => left_out += count,
            Ok(News::Status(status)) => accounts.add(began.elapsed().as_secs(), &status),
            Ok(News::Gone(why)) => return Err(Failure::failed(why)),
            Err(_) => break,
        }
    }
    let answer = Answer { counter: &counter, accounts: &accounts, left_out, since, args };
    match args.format {
        Output::Json => output::print(&to_json(&answer.json())?)?,
        Output::Table => output::print(&answer.text())?,
    }
    Ok(())
}

/// The sums of one window, with what they lack.
struct Answer<'a> {
    counter: &'a Counter,
    accounts: &'a Accounts,
    left_out: u64,
    since: String,
    args: &'a TopArgs,
}

impl Answer<'_> {
    fn json(&self) -> Value {
        let (sums, rates, until) = (self.accounts.conservation(), self.accounts.rates(), moment());
        let gap =
            |rate: &Rate| json!({"tracer": rate.tracer, "from": self.since, "to": until, "count": rate.lost});
        let gaps: Vec<_> = rates.iter().filter(|rate| rate.lost > 0).map(gap).collect();
        let cut: Vec<_> = Kind::ALL.into_iter().filter_map(|kind| self.cut(kind)).collect();
        let mut answer = json!({
            "schema": SCHEMA,
            "query": {
                "command": "top",
                "window": self.args.window,
                "where": self.counter.filter().map(Expression::text),
                "sort": self.args.sort.sort().as_str(),
            },
            "as_of": until,
            "since": self.since,
            "until": until,
            "complete": gaps.is_empty() && cut.is_empty() && self.left_out == 0 && self.counter.undecided() == 0,
            "gaps": gaps,
            "cut": cut,
            "left_out": self.left_out,
            "undecided": self.counter.undecided(),
            "accounts": {
                "seen": sums.seen, "stored": sums.stored, "filtered": sums.filtered, "lost": sums.lost,
                "in_flight": sums.in_flight,
            },
            "tracers": rates.iter().map(|rate| json!({
                "tracer": rate.tracer, "seen_per_second": rate.seen, "lost": rate.lost,
            })).collect::<Vec<_>>(),
        });
        for kind in Kind::ALL {
            answer[kind.as_str()] = self.busiest(kind).iter().map(line).collect();
        }
        answer
    }

    /// Returns what is said of keys that had no room.
    fn cut(&self, kind: Kind) -> Option<Value> {
        let others = self.counter.window(kind).others();
        (others.rows > 0).then(|| json!({"table": kind.as_str(), "why": "too many keys", "sums": others}))
    }

    fn busiest(&self, kind: Kind) -> Vec<Busy> {
        self.counter.busiest(kind, self.args.sort.sort(), self.args.limit)
    }

    fn text(&self) -> String {
        let mut text =
            format!("{}\n{}", conservation(&self.accounts.conservation()), rates(&self.accounts.rates()));
        if self.left_out > 0 {
            text.push_str(&format!("\n{} rows are not counted: this program was too slow", self.left_out));
        }
        let names = Names::new(false);
        for kind in Kind::ALL {
            let lines = self.busiest(kind);
            if lines.is_empty() {
                continue;
            }
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            table.set_header(HEADS.into_iter().chain([kind.as_str()]));
            for line in &lines {
                table.add_row(numbers(&line.sums).into_iter().chain([name(line, &names)]));
            }
            text.push_str(&format!("\n\n{}", table.trim_fmt()));
        }
        text
    }
}

fn line(busy: &Busy) -> Value {
    let mut line = json!({"id": busy.key.text(), "name": busy.name});
    if let (Value::Object(line), Ok(Value::Object(sums))) = (&mut line, serde_json::to_value(busy.sums)) {
        line.extend(sums);
    }
    line
}

/// Returns the current time with its offset.
fn moment() -> String {
    when::now().strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()
}
