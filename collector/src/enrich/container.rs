//! Which container a cgroup belongs to, told by its path alone.

/// Endings that systemd gives units.
const UNIT_ENDINGS: [&str; 3] = [".scope", ".service", ".slice"];
/// What runtimes put before a container's id in a unit's name: docker, CRI-O, containerd's CRI plug-in, podman,
/// runc with systemd.
const ID_PREFIXES: [&str; 7] =
    ["docker-", "crio-", "cri-containerd-", "libpod-payload-", "libpod-", "nerdctl-", "runc-"];

/// The id of the innermost container on a cgroup's path (below the hierarchy's root). For runtimes without ids
/// (LXC, systemd-nspawn) it is the container's name.
///
/// ```
/// let id = "4f2b".repeat(16);
/// assert_eq!(collector::enrich::container_id(&format!("/system.slice/docker-{id}.scope")), Some(id));
/// assert_eq!(collector::enrich::container_id("/user.slice/user-1000.slice/session-2.scope"), None);
/// ```
pub fn container_id(cgroup: &str) -> Option<String> {
    let parts: Vec<&str> = cgroup.split('/').filter(|part| !part.is_empty()).collect();
    (0..parts.len()).rev().find_map(|at| in_part(parts[at], at.checked_sub(1).map(|before| parts[before])))
}

fn in_part(part: &str, before: Option<&str>) -> Option<String> {
    let unit = UNIT_ENDINGS.iter().find_map(|ending| part.strip_suffix(ending)).unwrap_or(part);
    if let Some(id) = by_id(unit) {
        return Some(id.to_owned());
    }
    by_name(part, unit, before)
}

/// 64 hex digits, alone or behind a runtime's prefix; or any id behind `runc-` in a unit's name.
fn by_id(unit: &str) -> Option<&str> {
    // systemd's driver of containerd writes `slice:cri-containerd:ID` where it is not the service manager.
    let last = unit.rsplit(':').next().unwrap_or(unit);
    let prefix = ID_PREFIXES.iter().find(|prefix| last.starts_with(**prefix));
    let id = prefix.map_or(last, |prefix| &last[prefix.len()..]);
    let is_hex = |id: &str| id.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Amazon's ECS: 32 hex digits, a minus, a number.
    let is_ecs = id.split_once('-').is_some_and(|(task, number)| {
        task.len() == 32
            && is_hex(task)
            && number.len() >= 5
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    let by_runc = prefix == Some(&"runc-") && !id.is_empty();
    ((id.len() == 64 && is_hex(id)) || is_ecs || by_runc).then_some(id)
}

fn by_name(part: &str, unit: &str, before: Option<&str>) -> Option<String> {
    if let Some(name) = part.strip_prefix("lxc.payload.").or(part.strip_prefix("lxc.payload/")) {
        return Some(name.to_owned());
    }
    if matches!(before, Some("lxc" | "lxc.payload")) {
        return Some(part.to_owned());
    }
    if let Some(machine) = part.strip_suffix(".scope").and_then(|unit| unit.strip_prefix("machine-")) {
        let name = unescape(machine);
        // libvirt's virtual machines are registered alike, and are no containers.
        return (!name.starts_with("qemu-")).then_some(name);
    }
    let nspawn = unit.strip_prefix("systemd-nspawn@").filter(|_| part.ends_with(".service"));
    nspawn.map(unescape)
}

/// systemd's `\xNN` in unit names.
fn unescape(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = name_byte(rest);
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[4..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn name_byte(rest: &[u8]) -> Option<u8> {
    let digits = rest.strip_prefix(b"\\x")?.get(..2)?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtimes_paths() {
        let id = "0123456789abcdef".repeat(4);
        let ecs = format!("{}-1234567890", "ab".repeat(16));
        let table = [
            (format!("/docker/{id}"), Some(id.as_str())),
            (format!("/system.slice/docker-{id}.scope"), Some(&*id)),
            (format!("/docker/{id}/init.scope"), Some(&*id)),
            (format!("/kubepods/burstable/pod1234-5/{id}"), Some(&*id)),
            (format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"), Some(&*id)),
            (format!("/kubepods.slice/kubepods-pod1.slice/crio-{id}.scope/container"), Some(&*id)),
            (format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{id}"), Some(&*id)),
            (format!("/machine.slice/libpod-{id}.scope/container"), Some(&*id)),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope"),
                Some(&*id),
            ),
            (format!("/libpod_parent/libpod-{id}"), Some(&*id)),
            (format!("/system.slice/runc-{id}.scope"), Some(&*id)),
            ("/system.slice/runc-test1.scope".to_owned(), Some("test1")),
            (format!("/{id}"), Some(&*id)),
            (format!("/default/{id}"), Some(&*id)),
            (format!("/ecs/task/{ecs}"), Some(&*ecs)),
            ("/lxc/web/init.scope".to_owned(), Some("web")),
            ("/lxc.payload.web/system.slice/cron.service".to_owned(), Some("web")),
            (r"/machine.slice/machine-my\x2dbox.scope/payload".to_owned(), Some("my-box")),
            ("/machine.slice/systemd-nspawn@web.service/payload/init.scope".to_owned(), Some("web")),
            (r"/machine.slice/machine-qemu\x2d1\x2dvm.scope".to_owned(), None),
            (format!("/docker/{}/docker/{id}", "f".repeat(64)), Some(&*id)),
            ("/".to_owned(), None),
            (String::new(), None),
            ("/system.slice/docker.service".to_owned(), None),
            ("/system.slice/docker-short.scope".to_owned(), None),
            ("/user.slice/user-1000.slice/session-2.scope".to_owned(), None),
            (format!("/system.slice/{}.service", "g".repeat(64)), None),
        ];
        for (cgroup, expected) in table {
            assert_eq!(container_id(&cgroup).as_deref(), expected, "{cgroup}");
        }
    }
}
