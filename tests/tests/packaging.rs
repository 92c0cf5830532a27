//! The package's contents are there and right. `cargo xtask package --try-it` installs it and runs it under its unit.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tests::binary::{self, workspace};
use tests::workload::succeed;
use tests::{Scratch, duetector, suite};

/// Exposure that `systemd-analyze security` may find, in tenths: 0 is none, 100 is everything.
const EXPOSURE: &str = "--threshold=15";

suite! {
    threads: 2;
    every_file_of_the_package_is_there: [];
    the_unit_is_sandboxed: [SystemdAnalyze];
    the_unit_s_commands_and_configuration_are_understood: [];
    each_command_has_a_manual_page: [];
    the_package_s_scripts_are_shell: [];
    everywhere_the_recorder_has_the_same_capabilities: [];
    the_daemon_set_follows_the_schema_of_kubernetes: [Duetector]
}

fn every_file_of_the_package_is_there() {
    let manifest: toml::Table =
        fs::read_to_string(workspace().join("bin/Cargo.toml")).unwrap().parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap().iter().map(|asset| asset[0].as_str().unwrap());
    let others = ["extended-description-file", "maintainer-scripts"].map(|key| deb[key].as_str().unwrap());
    // What is built is there after a build.
    let names = assets.chain(others).filter(|name| !name.starts_with("target/"));
    let mut count = 0;
    for name in names {
        let path = workspace().join("bin").join(name.trim_end_matches("*.md"));
        assert!(path.exists(), "there is no {name}");
        count += 1;
    }
    assert!(count > 8, "only {count}");
    let configuration = deb["conf-files"][0].as_str().unwrap();
    assert!(unit().contains(configuration), "the unit uses another configuration than {configuration}");
}

fn unit() -> String {
    fs::read_to_string(workspace().join("packaging/duetector-actors.service")).unwrap()
}

fn the_unit_is_sandboxed() {
    let unit = workspace().join("packaging/duetector-actors.service");
    let mut analyze = Command::new("systemd-analyze");
    let output =
        analyze.args(["security", "--offline=true", "--no-pager", EXPOSURE]).arg(unit).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("Overall exposure level"), "{said}");
    assert!(String::from_utf8_lossy(&output.stderr).is_empty(), "{output:?}");
}

fn the_unit_s_commands_and_configuration_are_understood() {
    let unit = unit();
    let commands = unit.lines().filter_map(|line| line.strip_prefix("Exec")?.split_once('='));
    let commands: Vec<_> = commands.map(|(_, command)| command).collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    for command in commands {
        let mut words = command.split(' ');
        assert_eq!(words.next(), Some("/usr/bin/duetector-actors"));
        // The last option ends it before anything happens; those before it are parsed.
        let words: Vec<_> = words.collect();
        let known = succeed(Command::new(binary::agent()).arg(words[0]).arg("--help")).stdout;
        let known = String::from_utf8(known).unwrap();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(known.contains(option), "{} has no {option}", words[0]);
        }
    }
    // The package's group need not be on this machine.
    let file = workspace().join("packaging/config.toml");
    let mut validate = Command::new(binary::agent());
    validate
        .args(["config", "validate", "--insecure-permissions", "--set", "store.group=root", "--config"])
        .arg(file);
    succeed(&mut validate);
}

fn each_command_has_a_manual_page() {
    let scratch = Scratch::new();
    let folder = scratch.path().join("man");
    succeed(Command::new(binary::agent()).arg("man").arg(&folder));
    let pages: BTreeSet<_> =
        fs::read_dir(&folder).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    let help = String::from_utf8(succeed(Command::new(binary::agent()).arg("--help")).stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<_> = names.filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let page = format!("duetector-actors-{name}.1");
        assert!(pages.contains(&page), "there is no {page}");
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{text}");
    }
    assert!(!pages.contains("duetector-actors-man.1"), "hidden commands have no page");
}

fn the_package_s_scripts_are_shell() {
    let scripts =
        fs::read_dir(workspace().join("packaging/debian")).unwrap().map(|entry| entry.unwrap().path());
    let scripts: Vec<_> =
        scripts.filter(|path| fs::read_to_string(path).unwrap().starts_with("#!/bin/sh")).collect();
    assert!(scripts.len() >= 3, "{scripts:?}");
    for script in scripts {
        succeed(Command::new("sh").arg("-n").arg(&script));
        let text = fs::read_to_string(&script).unwrap();
        assert!(text.contains("#DEBHELPER#") && text.contains("set -e"), "{}", script.display());
    }
    succeed(Command::new("bash").arg("-n").arg(workspace().join("packaging/try.sh")));
}

fn everywhere_the_recorder_has_the_same_capabilities() {
    let names = |text: &str| -> BTreeSet<String> {
        let words = text.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
        words
            .filter(|word| word.len() > 1)
            .map(|word| format!("CAP_{}", word.trim_start_matches("CAP_")))
            .collect()
    };
    let line = |file: &str, beginning: &str| {
        let text = fs::read_to_string(workspace().join(file)).unwrap();
        let line =
            text.lines().find_map(|line| line.trim_start().strip_prefix(beginning)).unwrap().to_owned();
        names(line.split_once("add:").map_or(&*line, |(_, added)| added))
    };
    let unit = line("packaging/duetector-actors.service", "CapabilityBoundingSet=");
    assert_eq!(unit.len(), 3, "{unit:?}");
    assert_eq!(line("packaging/duetector-actors.service", "AmbientCapabilities="), unit);
    assert_eq!(line("deploy/compose.yaml", "cap_add: "), unit);
    assert_eq!(line("deploy/daemonset.yaml", "capabilities: "), unit);
    assert_eq!(line("xtask/src/package/image.rs", "const CAPABILITIES: [&str; 3] = "), unit);
}

fn the_daemon_set_follows_the_schema_of_kubernetes() {
    let mut validate = Command::new(duetector::program("python"));
    validate.args(["-m", "kubernetes_validate", "--strict"]).arg(workspace().join("deploy/daemonset.yaml"));
    let output = succeed(&mut validate);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(said.matches("passed for resource").count(), 3, "{said}");
}
