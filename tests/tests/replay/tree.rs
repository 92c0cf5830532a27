//! A tree of files as a kernel keeps it: names lead to files, several may lead to one.

use std::collections::{BTreeMap, HashMap};

pub(crate) const KIND: u32 = libc::S_IFMT;
/// Symlinks that a path may lead through (the kernel's own limit).
const LINKS: usize = 40;

/// A size that nobody knows.
pub(crate) const BLURRED: &str = "?";

pub(crate) type Index = usize;
/// Device, inode and generation.
pub(crate) type Identity = (u64, u64, u64);
type Found<T> = Result<T, String>;

/// A file of any kind.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Kind and permissions.
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: i64,
    /// Time at which a call last reported the size, if writes since then leave the size unknown.
    pub(crate) sized: String,
    pub(crate) blurred: bool,
    pub(crate) device: u64,
    /// Target of a symlink.
    pub(crate) target: String,
    /// Names in a folder.
    pub(crate) names: BTreeMap<String, Index>,
    /// Identity, once the file has been opened.
    pub(crate) identity: Option<Identity>,
}

impl Node {
    pub(crate) fn is(&self, kind: u32) -> bool {
        self.mode & KIND == kind
    }
}

/// Location that a path leads to: a name in a folder, and the file there, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) folder: Index,
    pub(crate) name: String,
    pub(crate) node: Option<Index>,
}

/// All nodes; the first is the top. None is ever removed, because it may still be open.
#[derive(Debug)]
pub(crate) struct Tree {
    top: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) identities: HashMap<Identity, Index>,
}

impl Tree {
    /// An empty folder at the path `top`.
    pub(crate) fn new(top: &str) -> Self {
        let node = Node { mode: libc::S_IFDIR | 0o777, ..Node::default() };
        Self { top: top.to_owned(), nodes: vec![node], identities: HashMap::new() }
    }

    /// Returns the location of `path`, through symlinks; through one at its end only if `follow`.
    pub(crate) fn find(&self, path: &str, follow: bool) -> Found<Location> {
        let mut left = names_of(self.below(path)?);
        let (mut way, mut links) = (vec![0], 0);
        // Of a path that is the top itself there is no name.
        let mut location = Location { folder: 0, name: String::new(), node: Some(0) };
        while let Some(name) = left.pop() {
            if name == ".." {
                way.pop()
                    .filter(|_| !way.is_empty())
                    .ok_or_else(|| format!("{path} leads out of the tree"))?;
                continue;
            }
            let folder = *way.last().ok_or("there is no top")?;
            if !self.nodes[folder].is(libc::S_IFDIR) {
                return Err(format!("{path} leads through what is no folder"));
            }
            let node = self.nodes[folder].names.get(&name).copied();
            let is_last = left.is_empty();
            location = Location { folder, name, node };
            match node {
                Some(at) if self.nodes[at].is(libc::S_IFLNK) && (follow || !is_last) => {
                    links += 1;
                    if links > LINKS {
                        return Err(format!("{path} leads through too many symlinks"));
                    }
                    let target = &self.nodes[at].target;
                    if target.starts_with('/') {
                        way.truncate(1);
                        left.extend(names_of(self.below(target)?));
                    } else {
                        left.extend(names_of(target));
                    }
                }
                Some(at) => way.push(at),
                None if is_last => {}
                None => return Err(format!("there is no {} on the way to {path}", location.name)),
            }
        }
        Ok(location)
    }

    /// Returns the node at `path`, which must exist.
    pub(crate) fn node(&self, path: &str, follow: bool) -> Found<Index> {
        self.find(path, follow)?.node.ok_or_else(|| format!("there is no {path}"))
    }

    /// A new file; its group is the folder's where that says so.
    pub(crate) fn make(&mut self, folder: Index, mut node: Node) -> Index {
        if self.nodes[folder].mode & libc::S_ISGID != 0 {
            node.gid = self.nodes[folder].gid;
            node.mode |= if node.is(libc::S_IFDIR) { libc::S_ISGID } else { 0 };
        }
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Gives a file a name, which must be free.
    pub(crate) fn name(&mut self, location: Location, node: Index) -> Found<()> {
        match self.nodes[location.folder].names.insert(location.name.clone(), node) {
            None => Ok(()),
            Some(_) => Err(format!("{} was there already", location.name)),
        }
    }

    /// Takes a name away.
    pub(crate) fn unname(&mut self, location: &Location) -> Found<Index> {
        self.nodes[location.folder]
            .names
            .remove(&location.name)
            .ok_or_else(|| format!("{} is not there", location.name))
    }

    /// Returns a line per file by its path, as `find -ls` would print it; a file with several names refers to the first
    /// one.
    pub(crate) fn list(&self) -> BTreeMap<String, String> {
        let mut paths = BTreeMap::new();
        self.list_below(0, "", &mut paths);
        let mut first = HashMap::new();
        let line = |(path, at): (String, Index)| {
            let first: &mut String = first.entry(at).or_insert_with(|| path.clone());
            let line = line(&self.nodes[at], first);
            (path, line)
        };
        paths.into_iter().map(line).collect()
    }

    fn list_below(&self, folder: Index, path: &str, paths: &mut BTreeMap<String, Index>) {
        for (name, &at) in &self.nodes[folder].names {
            let path = format!("{path}/{name}");
            self.list_below(at, &path, paths);
            paths.insert(path, at);
        }
    }

    fn below<'a>(&self, path: &'a str) -> Found<&'a str> {
        let rest = path.strip_prefix(&self.top).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        rest.ok_or_else(|| format!("{path} is not below {}", self.top))
    }
}

/// Returns the names of a path, the last one first.
fn names_of(path: &str) -> Vec<String> {
    path.rsplit('/').filter(|name| !name.is_empty() && *name != ".").map(str::to_owned).collect()
}

/// A file in a line. Sizes of folders and pipes are the file system's business.
pub(crate) fn line(node: &Node, first_name: &str) -> String {
    let Node { mode, uid, gid, size, device, target, .. } = node;
    let size = match node.is(libc::S_IFREG) {
        true if node.blurred => BLURRED.to_owned(),
        true => size.to_string(),
        false => "0".to_owned(),
    };
    let device = if node.is(libc::S_IFCHR) { *device } else { 0 };
    format!("{mode:o} {uid}:{gid} size {size} device {device} target {target:?} first name {first_name:?}")
}
