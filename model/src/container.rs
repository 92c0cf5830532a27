//! Finds the container a cgroup belongs to by the cgroup's path and the owners of its folders. No runtime is asked, so
//! containers that live for milliseconds are found as well. A cgroup with a name that no runtime uses belongs to no container.

use crate::Cgroup;

/// A container as found in a cgroup's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Container id; for runtimes without ids (LXC, systemd-nspawn) the container's name.
    pub id: String,
    /// Runtime of the container; absent if several runtimes use such names.
    pub runtime: Option<&'static str>,
    /// Uid of the Kubernetes pod that the container is in.
    pub pod_uid: Option<String>,
}

/// Suffixes of systemd unit names.
const UNIT_ENDINGS: [&str; 3] = [".scope", ".service", ".slice"];
/// Prefixes that runtimes put before a container's id in a unit's name, with the runtimes.
const ID_PREFIXES: [(&str, &str); 8] = [
    ("docker-", DOCKER),
    ("crio-", "cri-o"),
    ("cri-containerd-", CONTAINERD),
    ("libpod-payload-", PODMAN),
    ("libpod-", PODMAN),
    ("nerdctl-", CONTAINERD),
    ("runc-", RUNC),
    ("crun-", "crun"),
];
/// Parent cgroups below which cgroups are named by the container's id alone, with the runtimes.
const ID_FOLDERS: [(&str, &str); 4] =
    [("docker", DOCKER), ("libpod_parent", PODMAN), ("default", CONTAINERD), ("k8s.io", CONTAINERD)];

/// Name of docker in [`Found::runtime`].
pub const DOCKER: &str = "docker";
/// Name of containerd in [`Found::runtime`].
pub const CONTAINERD: &str = "containerd";
/// Name of podman in [`Found::runtime`].
pub const PODMAN: &str = "podman";
const RUNC: &str = "runc";
const LXC: &str = "lxc";
const LIBVIRT_LXC: &str = "libvirt-lxc";
const NSPAWN: &str = "systemd-nspawn";

/// The container that a cgroup belongs to, and the one that its name only claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Containers {
    /// The innermost container in a folder of root or of a runtime's user.
    pub found: Option<Found>,
    /// The id in the name of a folder further in that another user made.
    pub claimed: Option<String>,
}

/// Returns the innermost container on a cgroup's path. Names are believed in folders of root and of the users `runtimes`.
///
/// ```
/// use model::Cgroup;
/// use model::container::containers;
///
/// let id = "4f2b".repeat(16);
/// let path = format!("/system.slice/docker-{id}.scope");
/// let found = containers(&Cgroup::from(&*path), &[]).found.unwrap();
/// assert_eq!((&found.id, found.runtime), (&id, Some("docker")));
/// let of_user = containers(&Cgroup::new(path, &[1000]), &[]);
/// assert_eq!((of_user.found, of_user.claimed), (None, Some(id)));
/// ```
pub fn containers(cgroup: &Cgroup, runtimes: &[u32]) -> Containers {
    let (names, trusted) = (cgroup.names(), cgroup.trusted(runtimes));
    let named = |at: usize| in_part(names[at], at.checked_sub(1).map(|before| names[before]));
    let is_given = |at: usize| at == trusted && named(at).is_some_and(|(_, by)| by.is_some_and(gives_away));
    let (trusted_ones, others) = (0..names.len()).partition(|at| *at < trusted || is_given(*at));
    let innermost = |of: Vec<usize>| of.into_iter().rev().find_map(named);
    let (found, claimed) = (innermost(trusted_ones), innermost(others).map(|(id, _)| id));
    let pod_uid = || names[..trusted].iter().rev().find_map(|part| pod_uid(part));
    Containers { found: found.map(|(id, runtime)| Found { id, runtime, pod_uid: pod_uid() }), claimed }
}

/// Returns whether the runtime makes a container's folder as root and then gives it to the user who is root inside.
fn gives_away(runtime: &str) -> bool {
    matches!(runtime, LXC | LIBVIRT_LXC | NSPAWN)
}

type Named = (String, Option<&'static str>);

fn in_part(part: &str, before: Option<&str>) -> Option<Named> {
    let unit = UNIT_ENDINGS.iter().find_map(|ending| part.strip_suffix(ending)).unwrap_or(part);
    by_id(unit, before).or_else(|| by_name(part, unit, before))
}

/// Finds an id of 64 hex digits, alone or behind a runtime's prefix, or any id behind `runc-` in a unit's name.
fn by_id(unit: &str, before: Option<&str>) -> Option<Named> {
    let hex = |id: &str| id.bytes().all(|byte| byte.is_ascii_hexdigit());
    // runc's systemd driver writes `slice:runtime:ID` where systemd is not the service manager.
    let mut words = unit.rsplit(':');
    let last = words.next().unwrap_or(unit);
    let said = words.next();
    for (prefix, runtime) in ID_PREFIXES {
        let behind = last.strip_prefix(prefix);
        let behind = behind.or_else(|| (said == prefix.strip_suffix('-')).then_some(last));
        if let Some(id) = behind
            && !id.is_empty()
            && ((id.len() == 64 && hex(id)) || prefix == "runc-")
        {
            return Some((id.to_owned(), Some(runtime)));
        }
    }
    // Amazon's ECS: 32 hex digits, a minus, a number.
    let is_ecs = last.split_once('-').is_some_and(|(task, number)| {
        let digits = number.len() >= 5 && number.bytes().all(|byte| byte.is_ascii_digit());
        task.len() == 32 && hex(task) && digits
    });
    let runtime = ID_FOLDERS.iter().find(|(folder, _)| before == Some(folder)).map(|(_, runtime)| *runtime);
    ((last.len() == 64 && hex(last)) || is_ecs).then(|| (last.to_owned(), runtime))
}

fn by_name(part: &str, unit: &str, before: Option<&str>) -> Option<Named> {
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some((name.to_owned(), Some(LXC)));
    }
    if matches!(before, Some("lxc" | "lxc.payload")) {
        return Some((part.to_owned(), Some(LXC)));
    }
    if before == Some(RUNC) {
        return Some((part.to_owned(), Some(RUNC)));
    }
    if let Some(machine) = part.strip_suffix(".scope").and_then(|unit| unit.strip_prefix("machine-")) {
        let name = unescape(machine);
        // libvirt registers its machines under the same names; only those of its LXC driver are containers.
        let runtime = if name.starts_with("lxc-") { LIBVIRT_LXC } else { NSPAWN };
        return (!name.starts_with("qemu-")).then_some((name, Some(runtime)));
    }
    let nspawn = unit.strip_prefix("systemd-nspawn@").filter(|_| part.ends_with(".service"));
    nspawn.map(|name| (unescape(name), Some(NSPAWN)))
}

/// Finds a pod's uid: `podUID` with kubelet's cgroupfs driver, `kubepods-QOS-podUID.slice` with `_` for `-` with
/// systemd's.
fn pod_uid(part: &str) -> Option<String> {
    let unit = part.split(':').next().unwrap_or(part);
    let unit = unit.strip_suffix(".slice").unwrap_or(unit);
    let uid = if unit.contains("kubepods") { unit.rsplit_once("-pod")?.1 } else { unit.strip_prefix("pod")? };
    // Either a uid or, for a static pod (made from a file), a hash of that file.
    let uid = uid.replace('_', "-");
    let digits = uid.bytes().filter(u8::is_ascii_hexdigit).count();
    (digits == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')).then_some(uid)
}

/// Replaces systemd's `\xNN` escapes in unit names.
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

    const POD: &str = "3f1a2b4c-0d5e-4f60-8172-93a4b5c6d7e8";

    fn found_in(cgroup: &str) -> Option<(String, Option<&'static str>, Option<String>)> {
        let Containers { found, claimed } = containers(&cgroup.into(), &[]);
        assert_eq!(claimed, None);
        found.map(|found| (found.id, found.runtime, found.pod_uid))
    }

    #[test]
    fn names_of_other_users_folders_are_only_claims() {
        let (own, other) = ("ab".repeat(32), "cd".repeat(32));
        let path = format!("/docker/{own}/docker-{other}.scope");
        let ids = |owners: &[u32], runtimes: &[u32]| {
            let Containers { found, claimed } = containers(&Cgroup::new(&*path, owners), runtimes);
            (found.map(|found| found.id), claimed)
        };
        assert_eq!(ids(&[], &[]), (Some(other.clone()), None));
        assert_eq!(ids(&[1000], &[]), (Some(own), Some(other.clone())), "within a container");
        assert_eq!(ids(&[0, 1000], &[]), (None, Some(other.clone())));
        assert_eq!(ids(&[1000, 1000], &[1000]), (Some(other), None));
        let path = format!("/lxc.payload.web/init.scope/docker-{}.scope", "ab".repeat(32));
        let of = |owners: &[u32]| {
            let Containers { found, claimed } = containers(&Cgroup::new(&*path, owners), &[]);
            (found.map(|found| found.id), claimed.is_some())
        };
        assert_eq!(of(&[1000, 1000, 1000]), (Some("web".to_owned()), true), "the runtime gave it away");
        let path = Cgroup::new("/user/lxc.payload.web", &[1000, 1000]);
        assert_eq!(containers(&path, &[]), Containers { found: None, claimed: Some("web".to_owned()) });
        let pod = Cgroup::new(format!("/docker/{}/pod{POD}", "ab".repeat(32)), &[1000]);
        assert_eq!(containers(&pod, &[]).found.unwrap().pod_uid, None);
    }

    #[test]
    fn the_paths_of_every_runtime_are_recognised() {
        let id = "0123456789abcdef".repeat(4);
        let ecs = format!("{}-1234567890", "ab".repeat(16));
        let user = "/user.slice/user-1000.slice/user@1000.service/user.slice";
        let table = [
            (format!("/docker/{id}"), &*id, Some(DOCKER)),
            (format!("/system.slice/docker-{id}.scope"), &*id, Some(DOCKER)),
            (format!("/docker/{id}/init.scope"), &*id, Some(DOCKER)),
            (format!("/process_api/some/docker/{id}"), &*id, Some(DOCKER)),
            (format!("/machine.slice/libpod-{id}.scope/container"), &*id, Some(PODMAN)),
            (format!("{user}/libpod-{id}.scope"), &*id, Some(PODMAN)),
            (
                format!("{user}/user-libpod_pod_{id}.slice/libpod-{}.scope", "e".repeat(64)),
                &*"e".repeat(64),
                Some(PODMAN),
            ),
            (format!("/libpod_parent/libpod-{id}"), &*id, Some(PODMAN)),
            (format!("/libpod_parent/{id}"), &*id, Some(PODMAN)),
            (format!("/system.slice/runc-{id}.scope"), &*id, Some(RUNC)),
            ("/system.slice/runc-test1.scope".to_owned(), "test1", Some(RUNC)),
            ("/runc/test1".to_owned(), "test1", Some(RUNC)),
            ("/system.slice:runc:test1".to_owned(), "test1", Some(RUNC)),
            (format!("/{id}"), &*id, None),
            (format!("/default/{id}"), &*id, Some(CONTAINERD)),
            (format!("/ecs/task/{ecs}"), &*ecs, None),
            ("/lxc/web/init.scope".to_owned(), "web", Some(LXC)),
            ("/lxc.payload.web/system.slice/cron.service".to_owned(), "web", Some(LXC)),
            ("/lxc.payload/web".to_owned(), "web", Some(LXC)),
            (r"/machine.slice/machine-my\x2dbox.scope/payload".to_owned(), "my-box", Some("systemd-nspawn")),
            (
                "/machine.slice/systemd-nspawn@web.service/payload/init.scope".to_owned(),
                "web",
                Some("systemd-nspawn"),
            ),
            (r"/machine.slice/machine-lxc\x2d1\x2dweb.scope".to_owned(), "lxc-1-web", Some("libvirt-lxc")),
            (format!("/docker/{}/docker/{id}", "f".repeat(64)), &*id, Some(DOCKER)),
        ];
        for (cgroup, id, runtime) in table {
            assert_eq!(found_in(&cgroup), Some((id.to_owned(), runtime, None)), "{cgroup}");
        }
    }

    #[test]
    fn pods_of_kubernetes_are_recognised() {
        let (id, flat) = ("c0ffee00".repeat(8), POD.replace('-', "_"));
        let slice = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{flat}.slice");
        let hash = "0123456789abcdef".repeat(2);
        let kind = format!("/docker/{}", "f".repeat(64));
        let table = [
            (format!("/kubepods/burstable/pod{POD}/{id}"), None, POD),
            (format!("/kubepods/pod{POD}/{id}"), None, POD),
            (format!("/kubepods/besteffort/pod{hash}/{id}"), None, &*hash),
            (format!("{slice}/cri-containerd-{id}.scope"), Some(CONTAINERD), POD),
            (format!("{slice}/crio-{id}.scope/container"), Some("cri-o"), POD),
            (format!("{slice}/docker-{id}.scope"), Some(DOCKER), POD),
            (
                format!("/system.slice/containerd.service/kubepods-pod{flat}.slice:cri-containerd:{id}"),
                Some(CONTAINERD),
                POD,
            ),
            (
                format!(
                    "{kind}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{flat}.slice/cri-containerd-{id}.scope"
                ),
                Some(CONTAINERD),
                POD,
            ),
            (format!("/kubepods/pod{POD}/{}/docker/{id}", "f".repeat(64)), Some(DOCKER), POD),
        ];
        for (cgroup, runtime, pod) in table {
            assert_eq!(found_in(&cgroup), Some((id.clone(), runtime, Some(pod.to_owned()))), "{cgroup}");
        }
    }

    #[test]
    fn other_cgroups_belong_to_no_container() {
        let id = "0123456789abcdef".repeat(4);
        for cgroup in [
            "/",
            "",
            "/system.slice/docker.service",
            "/system.slice/docker-short.scope",
            "/user.slice/user-1000.slice/session-2.scope",
            &format!("/system.slice/{}.service", "g".repeat(64)),
            &format!("/machine.slice/libpod-conmon-{id}.scope"),
            &format!("/system.slice/crio-conmon-{id}.scope"),
            r"/machine.slice/machine-qemu\x2d1\x2dvm.scope",
            "/lxc.monitor.web",
            "/kubepods.slice/kubepods-burstable.slice",
        ] {
            assert_eq!(found_in(cgroup), None, "{cgroup}");
        }
    }
}
