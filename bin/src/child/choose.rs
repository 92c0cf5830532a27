//! Derives the configuration of `child` from the user's: the selected tracers, no sink, and the parent program excluded.

use std::collections::{BTreeMap, BTreeSet};

use bpf_programs::PinChoice;
use collector::FilterConfig;
use collector::sink::host::HostReads;
use serde_json::Value;

use crate::config::Config;
use crate::exit::Failure;

/// Environment variable in which a parent that is a duetector-actors agent passes its process id to its children.
const HOST_VARIABLE: &str = "DUETECTOR_ACTORS_HOST";
/// Name of the filter that drops events of the parent program. Users don't choose such a name by accident.
const HOST_FILTER: &str = "(the host)";

/// Reduces a configuration to the named tracers (if none is named, to all that it enables), disables every sink, and adds
/// a filter that drops events of the parent program: each row that it stores would otherwise cause another row.
pub(crate) fn choose(mut config: Config, tracers: &[String]) -> Result<Config, Failure> {
    if !tracers.is_empty() {
        only(&mut config, tracers).map_err(Failure::Usage)?;
    }
    // Pinned programs belong to the machine's agent, not to one of several children.
    (config.ebpf.pin, config.ebpf.pin_keep) = (PinChoice::Never, false);
    config.collector.disable_sinks();
    let host = Value::from(vec![nix::unistd::getppid().as_raw()]);
    let excludes = BTreeMap::from([("exclude_pid".to_owned(), host)]);
    config.filter.0.insert(HOST_FILTER.to_owned(), FilterConfig { excludes, ..FilterConfig::default() });
    Ok(config)
}

/// Enables the named tracers, by section or by stored name, and disables all others.
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
        anyhow::bail!("--tracer {unknown}: no such tracer, expected one of: {}", known.join(", "));
    }
    Ok(())
}

/// Returns how the parent reads, for `--host-reads auto`: always if it is a duetector-actors agent, else after its polls.
pub(crate) fn host_reads(most_a_second: u32) -> HostReads {
    let parent = std::env::var(HOST_VARIABLE).ok();
    // The variable may have been inherited from a process further up.
    if parent == Some(nix::unistd::getppid().to_string()) {
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
    fn only_named_tracers_run_and_no_sink_is_enabled() {
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
        assert!(refused.words().starts_with("--tracer nope: no such tracer, expected one of: "));
    }

    #[test]
    fn without_names_the_tracers_of_the_configuration_run() {
        let chosen = choose(config("[tracer.clone]\ndisabled = true\n"), &[]).unwrap();
        assert!(
            !enabled(&chosen).contains(&"clone".to_owned()) && enabled(&chosen).contains(&"open".to_owned())
        );
    }
}
