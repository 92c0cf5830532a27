//! Texts that the screen and `--once` have in common.

use analyzer::render::escape::visible;
use analyzer::render::{Names, process_name};
use analyzer::top::{Busy, Key, Sums};

use super::accounts::{Conservation, Rate};

/// Heads of the columns of numbers; the name comes last.
pub(super) const HEADS: [&str; 6] = ["read", "written", "mapped", "calls", "opens", "rows"];

/// Returns the numbers of a line.
pub(super) fn numbers(sums: &Sums) -> [String; 6] {
    let Sums { bytes_read, bytes_written, bytes_mapped, calls, opens, rows } = *sums;
    let [read, written, mapped] = [bytes_read, bytes_written, bytes_mapped].map(bytes);
    [read, written, mapped, count(calls), count(opens), count(rows)]
}

/// Returns the name in a line, without anything that a terminal would obey.
pub(super) fn name(line: &Busy, names: &Names) -> String {
    let name = visible(&line.name);
    match &line.key {
        Key::User(uid) => visible(&names.user(*uid)).into_owned(),
        // The id begins with the pid.
        Key::Process(id) => {
            process_name(Some(&line.name), id.split('-').next().and_then(|pid| pid.parse().ok()))
        }
        Key::Peer(address) => format!("{} {name}", visible(address)),
        key if name.is_empty() => key.text(),
        _ => name.into_owned(),
    }
}

/// `seen 1,234 = stored 1,000 + filtered 230 + lost 4`
pub(super) fn conservation(sums: &Conservation) -> String {
    let Conservation { seen, stored, filtered, lost, in_flight } = *sums;
    let [seen, stored, filtered, lost] = [seen, stored, filtered, lost].map(grouped);
    let rest = if in_flight == 0 { String::new() } else { format!(" + on their way {in_flight}") };
    format!("seen {seen} = stored {stored} + filtered {filtered} + lost {lost}{rest}")
}

/// `open 9.1k/s, usage 403/s (12 lost)`
pub(super) fn rates(rates: &[Rate]) -> String {
    let rate = |rate: &Rate| {
        let lost = if rate.lost > 0 { format!(" ({} lost)", grouped(rate.lost)) } else { String::new() };
        let seen = if rate.seen < 10.0 { format!("{:.1}", rate.seen) } else { count(rate.seen as u64) };
        format!("{} {seen}/s{lost}", rate.tracer)
    };
    if rates.is_empty() {
        return "no events".to_owned();
    }
    rates.iter().map(rate).collect::<Vec<_>>().join(", ")
}

/// A number in at most five characters: `12345`, `123k`, `4.5M`.
pub(super) fn count(number: u64) -> String {
    scaled(number, 100_000, 1000.0, ["k", "M", "G", "T", "P", "E"])
}

/// Bytes in at most six characters: `9999`, `123K`, `4.5M`; units of 1,024.
pub(super) fn bytes(number: u64) -> String {
    scaled(number, 10_000, 1024.0, ["K", "M", "G", "T", "P", "E"])
}

/// Returns a number as it is below the limit, else in the largest unit of which there is at least one.
fn scaled(number: u64, exact_below: u64, step: f64, units: [&str; 6]) -> String {
    if number < exact_below {
        return number.to_string();
    }
    let (mut amount, mut unit) = (number as f64 / step, units[0]);
    for larger in &units[1..] {
        if amount < step {
            break;
        }
        amount /= step;
        unit = larger;
    }
    if amount < 10.0 { format!("{amount:.1}{unit}") } else { format!("{amount:.0}{unit}") }
}

/// A number with a comma after each third digit.
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0, 99_999, 100_000, 4_500_000].map(count), ["0", "99999", "100k", "4.5M"]);
        assert_eq!([9_999, 10_240, 4_718_592, u64::MAX].map(bytes), ["9999", "10K", "4.5M", "16E"]);
    }

    #[test]
    fn names_have_nothing_that_a_terminal_obeys() {
        let busy = |key, name: &str| Busy { key, name: name.to_owned(), sums: Sums::default() };
        let names = Names::new(false);
        let file = busy(Key::File(1, 2, 3), "/a\x1b[2J\n");
        assert_eq!(name(&file, &names), r"/a\x1b[2J\n");
        assert_eq!(name(&busy(Key::File(1, 2, 3), ""), &names), "id:1:2:3");
        assert_eq!(name(&busy(Key::Process("7-9".into()), "a\r"), &names), r"a\r[7]");
        assert_eq!(name(&busy(Key::Peer("\x1b".into()), "nc"), &names), r"\x1b nc");
        assert_eq!(name(&busy(Key::User(0), ""), &names), "root");
    }

    #[test]
    fn the_law_of_conservation_is_one_line() {
        let sums = Conservation { seen: 1234, stored: 1000, filtered: 230, lost: 4, in_flight: 0 };
        assert_eq!(conservation(&sums), "seen 1,234 = stored 1,000 + filtered 230 + lost 4");
        let rate = |seen, lost| Rate { tracer: "open".to_owned(), seen, lost };
        assert_eq!(rates(&[rate(123_456.0, 7), rate(0.5, 0)]), "open 123k/s (7 lost), open 0.5/s");
    }
}
