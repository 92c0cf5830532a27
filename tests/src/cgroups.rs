//! Cgroups of a test, in whatever hierarchies are mounted.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// Time in which a limited share of a CPU is given anew, in microseconds; the kernel's own default.
const PERIOD: u32 = 100_000;

/// A cgroup below each hierarchy's root, and all that is made below it; gone with it.
#[derive(Debug)]
pub struct Cgroups {
    name: String,
    roots: Vec<PathBuf>,
    /// Where this process is in each of them.
    home: Vec<PathBuf>,
}

impl Default for Cgroups {
    fn default() -> Self {
        Self::new()
    }
}

impl Cgroups {
    /// None are made yet: whoever runs something in them does so.
    pub fn new() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let groups = fields.filter(|fields| fields.get(2).is_some_and(|kind| kind.starts_with("cgroup")));
        let (mut roots, mut home) = (Vec::new(), Vec::new());
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        for fields in groups {
            let root = PathBuf::from(fields[1]);
            home.push(root.join(path_in(&own, fields[2], fields[3]).trim_start_matches('/')));
            roots.push(root);
        }
        Self { name: format!("duetector-test-{}", std::process::id()), roots, home }
    }

    /// The path of one of them below its hierarchy's root.
    pub fn path(&self, below: &str) -> String {
        format!("/{}/{below}", self.name)
    }

    /// Moves this process there, in each hierarchy that lets it; later children begin there.
    ///
    /// # Panics
    /// When there is no such hierarchy.
    pub fn enter(&self, below: &str) {
        let enters = |root: &&PathBuf| {
            let group = root.join(&self.name).join(below);
            fs::create_dir_all(&group).and_then(|()| fs::write(group.join("cgroup.procs"), "0")).is_ok()
        };
        assert!(self.roots.iter().filter(enters).count() > 0, "no cgroup can be entered");
    }

    /// Makes one that belongs to that user, in each hierarchy that lets it, as systemd delegates them; returns their folders.
    ///
    /// # Panics
    /// When there is no such hierarchy.
    pub fn delegate(&self, below: &str, uid: u32) -> Vec<PathBuf> {
        let gives = |root: &PathBuf| {
            let group = root.join(&self.name).join(below);
            fs::create_dir_all(&group).ok()?;
            let files = [group.clone(), group.join("cgroup.procs")];
            files.iter().try_for_each(|file| chown(file, Some(uid), Some(uid))).ok()?;
            Some(group)
        };
        let folders: Vec<PathBuf> = self.roots.iter().filter_map(gives).collect();
        assert!(!folders.is_empty(), "no cgroup can be delegated");
        folders
    }

    /// Moves a process, with its later children, to a group that gets so many hundredths of one CPU's time.
    ///
    /// # Panics
    /// If no hierarchy here limits CPU time.
    pub fn limit_cpu(&self, below: &str, pid: u32, percent: u32) {
        let (quota, period) = (percent * PERIOD / 100, PERIOD);
        let limits = |root: &PathBuf| {
            let group = root.join(&self.name).join(below);
            // Where version 2 is the only one, its controllers are turned on one level at a time.
            for folder in [root.clone(), root.join(&self.name)] {
                let _ = fs::create_dir_all(&folder);
                let _ = fs::write(folder.join("cgroup.subtree_control"), "+cpu");
            }
            fs::create_dir_all(&group).ok()?;
            let first = fs::write(group.join("cpu.cfs_period_us"), period.to_string())
                .and_then(|()| fs::write(group.join("cpu.cfs_quota_us"), quota.to_string()));
            first.or_else(|_| fs::write(group.join("cpu.max"), format!("{quota} {period}"))).ok()?;
            fs::write(group.join("cgroup.procs"), pid.to_string()).ok()
        };
        assert!(self.roots.iter().any(|root| limits(root).is_some()), "no cgroup here limits CPU time");
    }

    /// Moves this process back to where it was.
    pub fn leave(&self) {
        for home in &self.home {
            // Where it could not go it still is.
            let _ = fs::write(home.join("cgroup.procs"), "0");
        }
    }
}

/// A process's path in the hierarchy that is mounted so, of the lines of `/proc/PID/cgroup`.
fn path_in<'a>(lines: &'a str, kind: &str, options: &str) -> &'a str {
    let of = |line: &&str| {
        let controllers = line.split(':').nth(1).unwrap_or_default();
        if kind == "cgroup2" {
            controllers.is_empty()
        } else {
            !controllers.is_empty()
                && controllers.split(',').all(|one| options.split(',').any(|option| option == one))
        }
    };
    lines.lines().find(of).and_then(|line| line.splitn(3, ':').nth(2)).unwrap_or("/")
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        self.leave();
        self.roots.iter().for_each(|root| remove(&root.join(&self.name)));
    }
}

fn remove(group: &Path) {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    below.filter(|entry| entry.path().is_dir()).for_each(|entry| remove(&entry.path()));
    // What is still in use is whoever left it there to clean up.
    let _ = fs::remove_dir(group);
}
