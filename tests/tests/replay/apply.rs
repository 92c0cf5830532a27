//! Applies the rows to the model of the file system.

use serde_json::Value;

use crate::tree::{Identity, Index, KIND, Location, Node, Tree};

type Done = Result<(), String>;

/// Applies the row of a successful call to the tree.
pub(crate) fn apply(tree: &mut Tree, tracer: &str, row: &Row<'_>) -> Done {
    match tracer {
        "open" => open(tree, row),
        "rename" => rename(tree, row),
        "unlink" => unlink(tree, row),
        "link" if row.call().starts_with("symlink") => symlink(tree, row),
        "link" => link(tree, row),
        "truncate" => resize(tree, row),
        "attr" => attr(tree, row),
        "mkdir" => mkdir(tree, row),
        "usage" => usage(tree, row),
        other => Err(format!("what is {other}?")),
    }
}

/// A row with accessors by the meaning of its fields.
pub(crate) struct Row<'a>(pub(crate) &'a Value);

impl Row<'_> {
    pub(crate) fn field(&self, name: &str) -> &Value {
        &self.0["extended"][name]
    }

    fn text(&self, name: &str) -> Result<&str, String> {
        self.field(name).as_str().ok_or_else(|| format!("no {name}"))
    }

    fn number(&self, name: &str) -> Result<i64, String> {
        self.field(name).as_i64().ok_or_else(|| format!("no {name}"))
    }

    fn time(&self) -> Result<&str, String> {
        self.0["dt"].as_str().ok_or_else(|| "no time".to_owned())
    }

    fn call(&self) -> &str {
        self.field("call").as_str().unwrap_or_default()
    }

    fn has(&self, flag: &str) -> bool {
        self.field("flags").as_array().is_some_and(|flags| flags.iter().any(|name| name == flag))
    }

    fn path(&self) -> Result<String, String> {
        self.asked(self.0["fname"].as_str().ok_or("no fname")?, "path_asked")
    }

    fn new_path(&self) -> Result<String, String> {
        self.asked(self.text("new_path")?, "new_path_asked")
    }

    /// Returns the path to follow. `..` behind a symlink leads elsewhere than the shortened path says; then the path as
    /// asked is used, unless the kernel has resolved the path.
    fn asked(&self, path: &str, asked: &str) -> Result<String, String> {
        match self.field(asked).as_str().filter(|_| self.field("path_unresolved") == true) {
            Some(asked) if asked.contains("..") && asked.starts_with('/') => Ok(asked.to_owned()),
            Some(asked) if asked.contains("..") => {
                Ok(format!("{}/{asked}", self.0["cwd"].as_str().ok_or("no cwd")?))
            }
            _ => Ok(path.to_owned()),
        }
    }

    fn identity(&self) -> Option<Identity> {
        self.identity_in(["dev", "ino", "generation"])
    }

    fn identity_in(&self, names: [&str; 3]) -> Option<Identity> {
        let [dev, ino, generation] = names.map(|name| self.field(name).as_u64());
        Some((dev?, ino?, generation?))
    }

    /// Returns a new node of that kind with the mode that was asked for.
    fn made(&self, kind: u32) -> Result<Node, String> {
        let owner = |name: &str| self.0[name].as_u64().ok_or_else(|| format!("no {name}"));
        let mode = self.number("mode")? & !self.number("umask")? & 0o7777;
        Ok(Node { mode: kind | mode as u32, uid: owner("uid")?, gid: owner("gid")?, ..Node::default() })
    }
}

fn open(tree: &mut Tree, row: &Row<'_>) -> Done {
    let identity = row.identity().ok_or("no identity")?;
    let path = row.0["fname"].as_str().ok_or("no fname")?;
    if row.has("O_TMPFILE") {
        // Where it was made, for its group.
        let folder = path.rsplit_once('/').ok_or("no folder")?.0;
        let folder = tree.node(folder, false)?;
        let node = tree.make(folder, row.made(libc::S_IFREG)?);
        return learn(tree, node, identity);
    }
    // Where it led in the end: there is no symlink in it any more.
    let location = tree.find(path, false)?;
    let node = match location.node {
        Some(node) => node,
        None if row.has("O_CREAT") => {
            let node = tree.make(location.folder, row.made(libc::S_IFREG)?);
            tree.name(location, node)?;
            node
        }
        None => return Err("an open of what is not there".to_owned()),
    };
    learn(tree, node, identity)?;
    if row.has("O_TRUNC") && tree.nodes[node].is(libc::S_IFREG) {
        set_size(&mut tree.nodes[node], 0, row)?;
    }
    let recorded = row.text("file_type")?;
    let kind = match tree.nodes[node].mode & KIND {
        libc::S_IFREG => "regular",
        libc::S_IFDIR => "directory",
        libc::S_IFCHR => "char",
        libc::S_IFIFO => "fifo",
        _ => "unknown",
    };
    if recorded == kind { Ok(()) } else { Err(format!("it is {kind}, not {recorded}")) }
}

/// Notes the identity of a file; a file never becomes another.
fn learn(tree: &mut Tree, node: Index, identity: Identity) -> Done {
    match tree.nodes[node].identity.replace(identity) {
        None => tree
            .identities
            .insert(identity, node)
            .map_or(Ok(()), |other| Err(format!("{identity:?} is {:?} already", tree.nodes[other]))),
        Some(known) if known == identity => Ok(()),
        Some(known) => Err(format!("{known:?} became {identity:?}")),
    }
}

/// Notes the identity of the file that the call was about, where the row has it.
fn learn_from(tree: &mut Tree, node: Index, row: &Row<'_>) -> Done {
    row.identity().map_or(Ok(()), |identity| learn(tree, node, identity))
}

fn rename(tree: &mut Tree, row: &Row<'_>) -> Done {
    let (old, new) = (tree.find(&row.path()?, false)?, tree.find(&row.new_path()?, false)?);
    let moved = old.node.ok_or("what was renamed is not there")?;
    learn_from(tree, moved, row)?;
    // Two names of one file: nothing happens.
    if new.node == Some(moved) {
        return Ok(());
    }
    if row.has("RENAME_EXCHANGE") {
        let other = new.node.ok_or("what was exchanged is not there")?;
        tree.unname(&old)?;
        tree.unname(&new)?;
        tree.name(old, other)?;
        return tree.name(new, moved);
    }
    if let Some(replaced) = new.node {
        tree.unname(&new)?;
        let identity = row.identity_in(["replaced_dev", "replaced_ino", "replaced_generation"]);
        identity.map_or(Ok(()), |identity| learn(tree, replaced, identity))?;
    }
    tree.unname(&old)?;
    tree.name(new, moved)?;
    if row.has("RENAME_WHITEOUT") {
        let id = |name: &str| row.0[name].as_u64().ok_or("no owner");
        let node = Node { mode: libc::S_IFCHR, uid: id("uid")?, gid: id("gid")?, ..Node::default() };
        let node = tree.make(old.folder, node);
        tree.name(old, node)?;
    }
    Ok(())
}

fn unlink(tree: &mut Tree, row: &Row<'_>) -> Done {
    let location = tree.find(&row.path()?, false)?;
    let gone = tree.unname(&location)?;
    learn_from(tree, gone, row)?;
    let is_folder = row.call() == "rmdir" || row.has("AT_REMOVEDIR");
    if tree.nodes[gone].is(libc::S_IFDIR) != is_folder || !tree.nodes[gone].names.is_empty() {
        return Err(format!("it was {:?}", tree.nodes[gone]));
    }
    Ok(())
}

fn link(tree: &mut Tree, row: &Row<'_>) -> Done {
    let node = file(tree, row, row.has("AT_SYMLINK_FOLLOW"), row.has("AT_EMPTY_PATH"))?;
    let location = tree.find(&row.new_path()?, false)?;
    tree.name(location, node)
}

fn symlink(tree: &mut Tree, row: &Row<'_>) -> Done {
    let location = tree.find(&row.path()?, false)?;
    let id = |name: &str| row.0[name].as_u64().ok_or("no owner");
    let target = row.text("target")?.to_owned();
    let mode = libc::S_IFLNK | 0o777;
    let node = Node { mode, uid: id("uid")?, gid: id("gid")?, target, ..Node::default() };
    let node = tree.make(location.folder, node);
    tree.name(location, node)?;
    learn_from(tree, node, row)
}

fn mkdir(tree: &mut Tree, row: &Row<'_>) -> Done {
    let location: Location = tree.find(&row.path()?, false)?;
    let mut node = if row.call().starts_with("mkdir") {
        let mut node = row.made(libc::S_IFDIR)?;
        node.mode &= !(libc::S_ISGID | libc::S_ISUID);
        node
    } else {
        let kind = row.number("mode")? as u32 & KIND;
        row.made(if kind == 0 { libc::S_IFREG } else { kind })?
    };
    node.device = row.field("device").as_u64().unwrap_or_default();
    let node = tree.make(location.folder, node);
    tree.name(location, node)?;
    learn_from(tree, node, row)
}

/// Returns the file of a call that was given a path or a descriptor. One that was given by its descriptor may have no name
/// any more, and is known by its identity; if a path has an identity, too, both must lead to the same file.
fn file(tree: &mut Tree, row: &Row<'_>, follow: bool, by_descriptor: bool) -> Result<Index, String> {
    let known = row.identity().and_then(|identity| tree.identities.get(&identity).copied());
    if by_descriptor {
        return known.ok_or("a file that is not known".to_owned());
    }
    let node = tree.node(&row.path()?, follow)?;
    match known {
        Some(known) if known != node => Err(format!("the path leads to {:?}", tree.nodes[node])),
        _ => learn_from(tree, node, row).map(|()| node),
    }
}

fn resize(tree: &mut Tree, row: &Row<'_>) -> Done {
    let node = file(tree, row, true, row.call() != "truncate")?;
    let (length, size) = (row.number("length")?, tree.nodes[node].size);
    let set = row.call() != "fallocate";
    let length = if row.call() != "fallocate" {
        length
    } else if row.has("FALLOC_FL_COLLAPSE_RANGE") {
        size - length
    } else if row.has("FALLOC_FL_INSERT_RANGE") {
        size + length
    } else if row.has("FALLOC_FL_KEEP_SIZE") {
        size
    } else {
        let length = row.number("offset")? + length;
        if length <= size {
            return Ok(());
        }
        // To here, if what had been written before and is not told yet did not already lead further.
        row.time()?.clone_into(&mut tree.nodes[node].sized);
        length
    };
    if set {
        return set_size(&mut tree.nodes[node], length, row);
    }
    tree.nodes[node].size = length;
    Ok(())
}

/// Sets the size that the call reported, whatever was written before.
fn set_size(node: &mut Node, size: i64, row: &Row<'_>) -> Done {
    row.time()?.clone_into(&mut node.sized);
    (node.size, node.blurred) = (size, false);
    Ok(())
}

fn attr(tree: &mut Tree, row: &Row<'_>) -> Done {
    let follow = row.call() != "lchown" && !row.has("AT_SYMLINK_NOFOLLOW");
    let node = file(tree, row, follow, ["fchmod", "fchown"].contains(&row.call()))?;
    let node = &mut tree.nodes[node];
    if let Some(mode) = row.field("mode").as_u64() {
        node.mode = node.mode & KIND | mode as u32 & 0o7777;
    }
    if let Some(uid) = row.field("new_uid").as_u64() {
        node.uid = uid;
    }
    if let Some(gid) = row.field("new_gid").as_u64() {
        node.gid = gid;
    }
    Ok(())
}

/// Appends written bytes at the end. A row covers all uses since the row before: if the size was set in between, the
/// row does not say how much was written afterwards.
fn usage(tree: &mut Tree, row: &Row<'_>) -> Done {
    let node = file(tree, row, true, true)?;
    let node = &mut tree.nodes[node];
    if node.is(libc::S_IFREG) {
        node.blurred |= row.text("first")? < node.sized.as_str();
        node.size += row.field("bytes_written").as_i64().unwrap_or_default();
    }
    Ok(())
}
