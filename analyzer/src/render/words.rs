//! Times, amounts and names as all answers for people have them.

use model::ZonedTime;

pub(crate) use super::about::bytes;
use super::escape;

/// Returns a time to the millisecond, with its offset: `2026-01-31 12:00:05.250+01:00`.
pub fn time(at: ZonedTime) -> String {
    let text = at.to_local_text();
    let parts = text.get(..23).zip(text.get(26..));
    parts.map_or_else(|| text.clone(), |(moment, offset)| format!("{moment}{offset}"))
}

/// Returns the name of a process: its program or command, and its pid: `gzip[4711]`. Questions take it as a target.
pub fn process(name: Option<&str>, pid: Option<i64>) -> String {
    // Of a path, the last part; a command name such as `kworker/0:1` is none.
    let name = name.unwrap_or("?");
    let name = if name.starts_with('/') { name.rsplit('/').next().unwrap_or(name) } else { name };
    let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
    escape::visible(&format!("{name}[{pid}]")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_processes_have_one_form() {
        let at = ZonedTime { utc_ns: 1_767_225_600_123_456_789, offset: 3600 };
        assert_eq!(time(at), "2026-01-01 01:00:00.123+01:00");
        assert_eq!(process(Some("/usr/bin/gz\nip"), Some(7)), r"gz\nip[7]");
        assert_eq!(process(None, None), "?[?]");
        assert_eq!(process(Some("kworker/0:1"), Some(7)), "kworker/0:1[7]");
    }
}
