//! Reads the modules of a crate from its files: which names each defines, imports and uses.
//!
//! Names are resolved to the file that *defines* them; re-exports are followed. What a macro defines counts as defined
//! where the macro is called or, if the call does not mention it, where the path ends. Test code is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{TokenStream, TokenTree};

/// Imports of imports are followed no deeper than this.
const DEEPEST: usize = 16;

/// Keywords that a name of an item follows.
const ITEMS: [&str; 9] = ["const", "enum", "fn", "macro", "static", "struct", "trait", "type", "union"];

/// A path in a module, such as `crate::rules::Rule`, and where it is written.
pub(crate) struct Use {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

/// A module of a crate, in a file of its own or in braces.
pub(crate) struct Module {
    pub(crate) file: String,
    parent: usize,
    modules: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    /// Names that calls and definitions of macros mention: they define some of them.
    in_macros: BTreeSet<String>,
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Paths in the code and in imports. Re-exports are not among them.
    pub(crate) uses: Vec<Use>,
}

/// The modules of one crate; the first is its root.
pub(crate) struct Crate<'a> {
    files: &'a BTreeMap<String, String>,
    pub(crate) modules: Vec<Module>,
}

/// A name's definition: a module, or an item in one.
#[derive(Clone, Copy)]
enum Definition {
    Module(usize),
    Item(usize),
}

impl<'a> Crate<'a> {
    /// Reads the crate whose root is the file `root`; `files` are texts by path.
    pub(crate) fn read(root: &str, files: &'a BTreeMap<String, String>) -> Self {
        let mut read = Self { files, modules: Vec::new() };
        read.file(root, 0);
        read
    }

    fn add(&mut self, file: &str, parent: usize) -> usize {
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            modules: BTreeMap::new(),
            items: BTreeSet::new(),
            in_macros: BTreeSet::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            uses: Vec::new(),
        });
        self.modules.len() - 1
    }

    fn file(&mut self, file: &str, parent: usize) -> usize {
        let id = self.add(file, parent);
        let tokens =
            TokenStream::from_str(&self.files[file]).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.code(id, tokens, true);
        id
    }

    /// Returns the file of the module `name` that `file` declares.
    fn child_file(&self, file: &str, name: &str, at: Option<&str>) -> Option<String> {
        let (path, folder) = (Path::new(file), Path::new(file).parent()?);
        let owner = ["lib.rs", "main.rs", "mod.rs"].iter().any(|root| path.ends_with(root));
        let below = if owner { folder.to_owned() } else { folder.join(path.file_stem()?) };
        let paths = match at {
            Some(at) => vec![folder.join(at)],
            None => vec![below.join(format!("{name}.rs")), below.join(name).join("mod.rs")],
        };
        paths.iter().map(|path| normal(path)).find(|path| self.files.contains_key(path))
    }

    /// Reads code of a module; `top` is set for what is directly in it.
    fn code(&mut self, id: usize, tokens: TokenStream, top: bool) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let (mut at, mut public, mut path) = (0, false, None);
        while let Some(token) = tokens.get(at) {
            let word = ident(Some(token)).unwrap_or_default();
            let next = ident(tokens.get(at + 1)).unwrap_or_default();
            let is_item = top && ITEMS.contains(&word.as_str()) && starts_path(&tokens, at);
            match (word.as_str(), token) {
                ("", TokenTree::Group(group)) => self.code(id, group.stream(), false),
                ("", _) if is_punct(Some(token), '#') => {
                    at = attribute(&tokens, at, top, &mut path);
                    continue;
                }
                ("", _) => {}
                ("pub", _) => {
                    public = true;
                    at += usize::from(matches!(tokens.get(at + 1), Some(TokenTree::Group(_)))) + 1;
                    continue;
                }
                ("use", _) if !is_punct(tokens.get(at + 1), '<') => {
                    let end = (at..tokens.len()).find(|at| is_punct(tokens.get(*at), ';')).unwrap_or(at);
                    self.import(id, &tokens[at + 1..end], &[], public);
                    at = end;
                }
                ("mod", _) if !next.is_empty() => {
                    self.module(id, next, tokens.get(at + 2), path.take().as_deref());
                    at += 2;
                }
                ("macro_rules", _) => {
                    self.modules[id].items.extend(ident(tokens.get(at + 2)));
                    self.macro_names(id, tokens.get(at + 3), true);
                    at += 2;
                }
                _ if is_item && !ITEMS.contains(&next.as_str()) => {
                    self.modules[id].items.insert(next);
                    at += 1;
                }
                _ => {
                    let (names, end) = read_path(&tokens, at);
                    if top && names.len() == 1 && is_punct(tokens.get(end), '!') {
                        self.macro_names(id, tokens.get(end + 1), false);
                    }
                    if starts_path(&tokens, at) {
                        self.modules[id].uses.push(Use { line: token.span().start().line, path: names });
                    }
                    at = end;
                    continue;
                }
            }
            (public, path) = (false, None);
            at += 1;
        }
    }

    /// Reads a module inside another: its braces, or its file.
    fn module(&mut self, id: usize, name: String, body: Option<&TokenTree>, path: Option<&str>) {
        let file = self.modules[id].file.clone();
        let child = match body {
            Some(TokenTree::Group(group)) => {
                let child = self.add(&file, id);
                self.code(child, group.stream(), true);
                Some(child)
            }
            _ => self.child_file(&file, &name, path).map(|file| self.file(&file, id)),
        };
        self.modules[id].modules.extend(child.map(|child| (name, child)));
    }

    /// Notes the names in a macro's call, or those that its definition defines.
    fn macro_names(&mut self, id: usize, tree: Option<&TokenTree>, definitions: bool) {
        let Some(TokenTree::Group(group)) = tree else { return };
        let tokens: Vec<_> = group.stream().into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            let named = !definitions
                || at
                    .checked_sub(1)
                    .and_then(|before| ident(tokens.get(before)))
                    .is_some_and(|word| ITEMS.contains(&&*word));
            // Names of fields and primitive types begin with a small letter; what a macro defines for others rarely does.
            let name = ident(Some(token)).filter(|name| name.starts_with(char::is_uppercase));
            if named {
                self.modules[id].in_macros.extend(name);
            }
            self.macro_names(id, Some(token), definitions);
        }
    }

    /// Reads the tree of a `use`. An import of a module is no use of it: the paths through it are.
    fn import(&mut self, id: usize, tokens: &[TokenTree], before: &[String], public: bool) {
        let branches = tokens.split(|token| is_punct(Some(token), ','));
        for branch in branches.filter(|branch| !branch.is_empty()) {
            let (names, end) = read_path(branch, 0);
            let mut path = [before, &names].concat();
            if let Some(TokenTree::Group(group)) = branch.last() {
                self.import(id, &group.stream().into_iter().collect::<Vec<_>>(), &path, public);
                continue;
            }
            if is_punct(branch.last(), '*') {
                self.modules[id].globs.push(path);
                continue;
            }
            let alias = (ident(branch.get(end)).as_deref() == Some("as")).then(|| ident(branch.get(end + 1)));
            path.pop_if(|name| name == "self" && !before.is_empty());
            let name = alias.flatten().or(path.last().cloned()).unwrap_or_default();
            if !public {
                let line = branch[0].span().start().line;
                self.modules[id].uses.push(Use { line, path: path.clone() });
            }
            self.modules[id].imports.insert(name, path);
        }
    }

    fn named(&self, id: usize, name: &str, last: bool, depth: usize) -> Option<Definition> {
        let module = self.modules.get(id).filter(|_| depth < DEEPEST)?;
        let item = || module.items.contains(name).then_some(Definition::Item(id));
        let child = || module.modules.get(name).copied().map(Definition::Module);
        let own = if last { item().or_else(child) } else { child().or_else(item) };
        let import = || self.find(id, module.imports.get(name)?, last, depth + 1);
        let globs = || {
            module.globs.iter().find_map(|glob| match self.find(id, glob, false, depth + 1)? {
                Definition::Module(other) => self.named(other, name, last, depth + 1),
                Definition::Item(_) => None,
            })
        };
        let in_macro = || module.in_macros.contains(name).then_some(Definition::Item(id));
        own.or_else(import).or_else(globs).or_else(in_macro)
    }

    fn find(&self, from: usize, path: &[String], last: bool, depth: usize) -> Option<Definition> {
        let mut at = Definition::Module(from);
        for (index, name) in path.iter().enumerate() {
            let Definition::Module(id) = at else { break };
            at = match name.as_str() {
                "crate" => Definition::Module(0),
                "self" => at,
                "super" => Definition::Module(self.modules[id].parent),
                name => {
                    let found = self.named(id, name, last && index + 1 == path.len(), depth);
                    // What a module does not name, although a path says so, one of its macros defines.
                    found.or((index > 0).then_some(Definition::Item(id)))?
                }
            };
        }
        Some(at)
    }

    /// Returns the file that defines the item which a path in module `from` names, if it is one of this crate.
    pub(crate) fn definition(&self, from: usize, path: &[String]) -> Option<&str> {
        match self.find(from, path, true, 0)? {
            Definition::Item(id) => Some(&self.modules[id].file),
            Definition::Module(_) => None,
        }
    }
}

fn normal(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.display().to_string()
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    let Some(TokenTree::Ident(name)) = token else { return None };
    Some(name.to_string())
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

/// Reads an attribute, and an item with it that is only for tests. Returns where they end.
fn attribute(tokens: &[TokenTree], at: usize, top: bool, path: &mut Option<String>) -> usize {
    let at = at + usize::from(is_punct(tokens.get(at + 1), '!'));
    let attribute = tokens.get(at + 1).map(ToString::to_string).unwrap_or_default();
    let words: Vec<_> = attribute.split(|one: char| !one.is_alphanumeric()).collect();
    if words.starts_with(&["", "cfg"]) && words.contains(&"test") && !words.contains(&"not") {
        return after_item(tokens, at + 2, top);
    }
    if words.starts_with(&["", "path"]) {
        *path = attribute.split('"').nth(1).map(str::to_owned);
    }
    at + 2
}

/// Reads `a::b::c` from `at` on, and returns where it ends.
fn read_path(tokens: &[TokenTree], mut at: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(name) = ident(tokens.get(at)) {
        path.push(name);
        at += 1;
        let goes_on = is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':');
        if !goes_on || ident(tokens.get(at + 2)).is_none() {
            break;
        }
        at += 2;
    }
    (path, at)
}

/// Returns false for a field, a method, a lifetime and the rest of a path.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    let before = |back: usize, character| at >= back && is_punct(tokens.get(at - back), character);
    !(before(1, '\'') || before(1, '.') && !before(2, '.') || before(1, ':') && before(2, ':'))
}

/// Returns where the item that begins at `at` ends; in an expression also a field or an arm.
fn after_item(tokens: &[TokenTree], at: usize, top: bool) -> usize {
    let import = (at..tokens.len()).find_map(|at| ident(tokens.get(at))).is_some_and(|word| word == "use");
    let end = (at..tokens.len()).find(|at| match &tokens[*at] {
        TokenTree::Punct(punct) => punct.as_char() == ';' || !top && punct.as_char() == ',',
        TokenTree::Group(group) => !import && group.delimiter() == proc_macro2::Delimiter::Brace,
        _ => false,
    });
    end.map_or(tokens.len(), |end| end + 1)
}
