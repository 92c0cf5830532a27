//! Which tracers a child runs, and for what kind of host.

use std::collections::{BTreeMap, BTreeSet};

use collector::FilterConfig;
use collector::sink::host::HostReads;
use serde_json::Value;

use crate::config::Config;
use crate::exit::Failure;

/// An agent of ours tells its children its process id by this variable.
const HOST_VARIABLE: &str = "DUETECTOR_ACTORS_HOST";
/// The filter that drops what the host itself does. No section of a file can have this name by accident.
const HOST_FILTER: &str = "(the host)";

/// Leaves only these tracers of a configuration (all that it enables, if none is named), no sink, and nothing of what
/// the host does: storing what it is told would make new records for ever.
pub(crate) fn choose(mut config: Config, tracers: &[String]) -> Result<Config, Failure> {
    if !tracers.is_empty() {
        only(&mut config, tracers).map_err(Failure::Usage)?;
    }
    // What is pinned belongs to the agent of this host, not to one of several children.
    (config.ebpf.pin, config.ebpf.pin_keep) = (false, false);
    // A host stores events, and may refuse names that it keeps for itself.
    config.ebpf.manifest = false;
    let sinks = &mut config.collector;
    (sinks.sqlite.disabled, sinks.memory.disabled, sinks.jsonl.disabled) = (true, true, true);
    let host = Value::from(vec![nix::unistd::getppid().as_raw()]);
    let excludes = BTreeMap::from([("exclude_pid".to_owned(), host)]);
    config.filter.0.insert(HOST_FILTER.to_owned(), FilterConfig { excludes, ..FilterConfig::default() });
    Ok(config)
}

/// Enables what is named, by section or by the name it is stored under, and disables all else.
fn only(config: &mut Config, names: &[String]) -> anyhow::Result<()> {
    let mut left: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let mut known = Vec::new();
    let mut wanted = |section: &str, stored_as: &str| {
        known.push(section.to_owned());
        let by_section = left.remove(section);
        left.remove(stored_as) || by_section
    };
    for (section, tracer) in &mut config.tracer.kernel.0 {
        tracer.disabled = !wanted(section, &tracer.name);
        config.ebpf.disabled &= tracer.disabled;
    }
    let uname = &mut config.tracer.uname;
    uname.disabled = !wanted("uname", &uname.name);
    config.shell.disabled &= uname.disabled;
    let template = &mut config.tracer.template;
    for (key, tracer) in &mut template.sh {
        let wanted = wanted(key, tracer.name.as_deref().unwrap_or(key));
        (tracer.disabled, tracer.config.disabled) = (!wanted, false);
        config.shell.disabled &= !wanted;
        template.disabled &= !wanted;
    }
    for (key, tracer) in &mut template.sp {
        let wanted = wanted(key, tracer.name.as_deref().unwrap_or(key));
        tracer.disabled = !wanted;
        tracer.config.insert("disabled".to_owned(), Value::Bool(false));
        config.subprocess.disabled &= !wanted;
        template.disabled &= !wanted;
    }
    for (key, tracer) in &mut template.bpf {
        tracer.disabled = !wanted(key, tracer.name.as_deref().unwrap_or(key));
        template.disabled &= tracer.disabled;
    }
    if let Some(unknown) = left.first() {
        anyhow::bail!("--tracer {unknown}: there is no such tracer, expected one of: {}", known.join(", "));
    }
    Ok(())
}

/// How the host reads, when nobody says: always if it is an agent of ours, else at polls.
pub(crate) fn host_reads(most_a_second: u32) -> HostReads {
    let said = std::env::var(HOST_VARIABLE).ok();
    // The variable may have come over from further up.
    if said == Some(nix::unistd::getppid().to_string()) {
        HostReads::Always
    } else {
        HostReads::AtPolls { most_a_second }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        crate::config::from_toml(text).unwrap()
    }

    fn enabled(config: &Config) -> Vec<String> {
        let all = crate::assemble::configured(config);
        all.into_iter().filter(|tracer| !tracer.disabled).map(|tracer| tracer.name).collect()
    }

    #[test]
    fn only_what_is_named_runs_and_nothing_is_stored() {
        let text = "[ebpf]\ndisabled = true\n[tracer.open]\nname = \"do_sys_openat2\"\n\
                    [tracer.template.sh.a]\ncomm = [\"true\"]\n[tracer.template.sp.b]\ncomm = [\"true\"]\n";
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let chosen = choose(config(text), &names(&["do_sys_openat2", "exec", "a"])).unwrap();
        let mut all = enabled(&chosen);
        all.sort();
        assert_eq!(all, ["a", "exec", "open"]);
        assert!(chosen.collector.sinks().is_empty());
        assert_eq!(chosen.filter.0[HOST_FILTER].excludes.len(), 1);
        assert_eq!(chosen.validate(), []);
        let refused = choose(config(text), &names(&["nope"])).unwrap_err();
        assert!(refused.words().starts_with("--tracer nope: there is no such tracer, expected one of: "));
    }

    #[test]
    fn without_names_the_configuration_decides() {
        let chosen = choose(config("[tracer.clone]\ndisabled = true\n"), &[]).unwrap();
        assert!(
            !enabled(&chosen).contains(&"clone".to_owned()) && enabled(&chosen).contains(&"open".to_owned())
        );
    }
}
