//! An example of each command, for its help.

use clap::Command;

/// Commands with an example and what it does. Those that are missing here have examples in their own files.
const EXAMPLES: [(&str, &str, &str); 29] = [
    ("start", "start --config agent.toml --duration 10m", "record for ten minutes"),
    ("check", "check --format json", "what can run here, for a script"),
    ("status", "status --all", "also the tracers that have seen nothing"),
    ("reload", "reload", "use the changed configuration file"),
    ("stop", "stop --keep", "let the kernel go on recording for the next start"),
    ("tracers", "tracers", "the tracers that run"),
    ("tracers enable", "tracers enable usage tracer.open", "start two tracers again"),
    ("tracers disable", "tracers disable dns", "stop one"),
    ("tracers cache", "tracers cache uname --clear", "store the next output of the command whole"),
    ("tracers inspect", "tracers inspect mine.bpf.c", "what the program offers, and a section for it"),
    ("tracers compile", "tracers compile mine.bpf.c -o mine.bpf.o", "for machines without clang"),
    ("tracers header", "tracers header > duetector.h", "for an editor"),
    ("brief", "brief --all", "also tracers without rows"),
    ("query", "query --tracer open --where uid=1000 --since -10m --limit 0", "what a user opened"),
    ("sql", "sql 'SELECT comm, count(*) FROM exec GROUP BY comm'", "how often each program was run"),
    ("top", "top --once --format json --window 5", "what was busy in five seconds, for a script"),
    ("export", "export --format parquet --since -1d /srv/rows", "the rows of a day, a file for each tracer"),
    ("store status", "store status", "segments, sizes, and days that are left"),
    ("store verify", "store verify", "whether anything was altered"),
    ("store prune", "store prune", "keep the limits now"),
    ("store seal", "store seal", "make Parquet files of all rows"),
    ("store import", "store import duetector-dbcollector.sqlite3", "rows of Python duetector"),
    ("serve", "serve --listen unix:/run/duetector.sock", "for a proxy on this machine"),
    ("questions", "questions", "the list below"),
    ("config generate", "config generate > agent.toml", "a file to begin with"),
    ("config show", "config show --running", "what the running agent uses"),
    ("config import", "config import config.toml -o agent.toml", "from Python duetector"),
    ("config validate", "config validate --config agent.toml", "all errors at once"),
    ("child", "child --tracer open --name-prefix remote-", "one tracer, for an agent"),
];

/// Adds the examples to the help of the commands.
pub(crate) fn add(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (path, example, what)| {
        let path: Vec<_> = path.split(' ').collect();
        to(command, &path, &format!("Example: {what}\n  duetector-actors {example}"))
    })
}

fn to(command: Command, path: &[&str], text: &str) -> Command {
    match path {
        [] => {
            let before = command.get_after_help().map(|help| format!("\n\n{help}")).unwrap_or_default();
            command.after_help(format!("{text}{before}"))
        }
        [name, below @ ..] => command.mut_subcommand(name, |command| to(command, below, text)),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn each_command_has_an_example_in_its_help() {
        fn check(command: &Command, path: &str) {
            let below: Vec<_> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
            let help = command.clone().render_long_help().to_string();
            // A command that only groups others needs none.
            assert!(!below.is_empty() || help.contains("Example"), "{path}: {help}");
            below.iter().for_each(|below| check(below, &format!("{path} {}", below.get_name())));
        }
        let command = add(Cli::command());
        command
            .get_subcommands()
            .filter(|below| !below.is_hide_set())
            .for_each(|below| check(below, below.get_name()));
    }

    #[test]
    fn examples_are_understood_and_of_their_command() {
        for (path, example, _) in EXAMPLES {
            let command = example.split(" > ").next().expect(example);
            let words = shlex::split(command).expect(example);
            assert!(command.starts_with(path), "{example}");
            let cli = Cli::try_parse_from(["duetector-actors".to_owned()].into_iter().chain(words));
            assert!(cli.is_ok(), "{example}: {:?}", cli.err());
        }
    }
}
