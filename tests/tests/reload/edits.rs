//! A configuration that changes at random, what two of them differ in, and ways to spoil one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Random numbers that are the same for the same seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Returns a number in `0..limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// Kernel tracers that are edited. `open` is not.
const KERNEL: [&str; 4] = ["clone", "connect", "exec", "exit"];

/// Content of the configuration file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Model {
    generator: PathBuf,
    /// Disabled or not, and the name.
    kernel: BTreeMap<&'static str, (bool, String)>,
    /// A word to print, and the interval in ms.
    shells: BTreeMap<String, (u64, u64)>,
    /// Values in the environment of children.
    children: BTreeMap<String, u64>,
    /// Numbers in filters that drop nothing that is counted here.
    filters: BTreeMap<String, u64>,
    /// Number of the file, and the batch size.
    jsonl: Option<(u64, u64)>,
    memory: Option<u64>,
    store_batch: u64,
    poll_ms: u64,
    everybody: bool,
    comment: u64,
}

impl Model {
    pub(crate) fn new(generator: &Path) -> Self {
        Self {
            generator: generator.to_owned(),
            kernel: KERNEL.iter().map(|name| (*name, (false, (*name).to_owned()))).collect(),
            shells: BTreeMap::new(),
            children: BTreeMap::new(),
            filters: BTreeMap::new(),
            jsonl: None,
            memory: None,
            store_batch: 4096,
            poll_ms: 20,
            everybody: true,
            comment: 0,
        }
    }

    /// Makes one random edit.
    pub(crate) fn edit(&mut self, dice: &mut Dice) {
        let name = |dice: &mut Dice, of: &str| format!("{of}{}", dice.below(3));
        match dice.below(12) {
            0 | 1 => {
                let (disabled, _) = self.kernel.get_mut(KERNEL[dice.below(4) as usize]).unwrap();
                *disabled = !*disabled;
            }
            2 => {
                let tracer = KERNEL[dice.below(4) as usize];
                let (_, stored_as) = self.kernel.get_mut(tracer).unwrap();
                *stored_as = format!("{tracer}_{}", dice.below(3));
            }
            3 | 4 => {
                let settings = (dice.below(3), 50 + 50 * dice.below(3));
                toggle(dice, &mut self.shells, |dice| name(dice, "shell"), settings);
            }
            5 => {
                let value = dice.below(3);
                toggle(dice, &mut self.children, |dice| name(dice, "child"), value);
            }
            6 | 7 => {
                let value = dice.below(3);
                toggle(dice, &mut self.filters, |dice| name(dice, "filter"), value);
            }
            8 => self.jsonl = (!dice.one_in(3)).then(|| (dice.below(2), 100 + dice.below(2))),
            9 => self.memory = (!dice.one_in(3)).then(|| 10 + dice.below(2)),
            10 => match dice.below(3) {
                0 => self.store_batch = 1000 + dice.below(3),
                1 => self.poll_ms = 10 + 10 * dice.below(3),
                _ => self.everybody = !self.everybody,
            },
            _ => self.comment += 1,
        }
    }

    /// Returns the changes that a reload from this configuration to `other` must report.
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (name, (disabled, old)) in &self.kernel {
            let (now_disabled, new) = &other.kernel[name];
            match (disabled, now_disabled) {
                (false, false) if old != new => drop(found.insert(format!("tracer {new} (was {old})"))),
                (false, true) => drop(found.insert(format!("tracer {old}"))),
                (true, false) => drop(found.insert(format!("tracer {new}"))),
                _ => {}
            }
        }
        differ(&mut found, "tracer", &self.shells, &other.shells);
        differ(&mut found, "tracer", &self.children, &other.children);
        differ(&mut found, "filter", &self.filters, &other.filters);
        let mut expect = |differs: bool, what: &str| {
            if differs {
                found.insert(what.to_owned());
            }
        };
        expect(self.jsonl != other.jsonl, "sink jsonl");
        expect(self.memory != other.memory, "sink memory");
        expect(self.store_batch != other.store_batch, "sink store");
        expect(self.poll_ms != other.poll_ms, "setting ebpf.poll_interval");
        expect(self.everybody != other.everybody, "setting ebpf.uids");
        found
    }

    pub(crate) fn to_toml(&self) -> String {
        let generator = self.generator.display();
        let uids = if self.everybody { "[]" } else { "[0, 9974]" };
        let mut text = format!(
            "# edit {}\n[ebpf]\npoll_interval = \"{}ms\"\nuids = {uids}\n",
            self.comment, self.poll_ms
        );
        // Writing to a string can't fail.
        for (name, (disabled, stored_as)) in &self.kernel {
            let _ = writeln!(text, "[tracer.{name}]\ndisabled = {disabled}\nname = \"{stored_as}\"");
        }
        let _ = writeln!(
            text,
            "[tracer.template.sp.steady]\ncomm = [\"{generator}\", \"tick\", \"--every-us\", \"2000\"]"
        );
        for (name, value) in &self.children {
            let comm = format!("[\"{generator}\", \"tick\", \"--every-us\", \"20000\"]");
            let _ =
                writeln!(text, "[tracer.template.sp.{name}]\ncomm = {comm}\nenv = {{ VALUE = \"{value}\" }}");
        }
        for (name, (word, interval)) in &self.shells {
            let _ = writeln!(text, "[tracer.template.sh.{name}]\ncomm = [\"echo\", \"{word}\"]");
            let _ = writeln!(text, "interval = \"{interval}ms\"\nenable_cache = false");
        }
        for (name, value) in &self.filters {
            let _ = writeln!(text, "[filter.{name}]\nre_exclude_fname = [\"^/no/such/{value}\"]");
        }
        let _ = writeln!(text, "[collector.store]\nbatch = {}", self.store_batch);
        if let Some((number, batch)) = self.jsonl {
            let path = format!("lines{number}.jsonl");
            let _ = writeln!(text, "[collector.jsonl]\ndisabled = false\npath = \"{path}\"\nbatch = {batch}");
        }
        if let Some(maxlen) = self.memory {
            let _ = writeln!(text, "[collector.memory]\ndisabled = false\nmaxlen = {maxlen}");
        }
        text
    }
}

/// Adds, changes or removes one.
fn toggle<T>(dice: &mut Dice, all: &mut BTreeMap<String, T>, name: impl Fn(&mut Dice) -> String, value: T) {
    let name = name(dice);
    if dice.one_in(3) {
        all.remove(&name);
    } else {
        all.insert(name, value);
    }
}

fn differ<T: PartialEq>(
    found: &mut BTreeSet<String>,
    what: &str,
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differing = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    found.extend(differing.map(|name| format!("{what} {name}")));
}

/// Makes the file invalid in a random way; returns a description.
pub(crate) fn spoil(dice: &mut Dice, good: &str, file: &Path) -> String {
    let wrong = [
        "[ebpf\n",
        "tracer = 3\n",
        "[tracer.opne]\ndisabled = true\n",
        "[tracer.open]\nnmae = \"x\"\n",
        "[tracer.open]\ndisabled = \"maybe\"\n",
        "[tracer.open]\nname = \"a:b\"\n",
        "[tracer.uname]\ninterval = \"1ms\"\n",
        "[shell]\nmax_running = 0\n",
        "[subprocess]\nline_limit = \"1KB of\"\n",
        "[tracer.template.sh.bad]\ncomm = []\n",
        "[tracer.template.sp.uname]\ncomm = [\"true\"]\n",
        "[tracer.template.bpf.bad]\nprogram = \"/no/such/file.txt\"\n",
        "[filter.bad]\nre_exclude_fname = [\"(\"]\n",
        "[filter.bad]\ndrop = \"nosuchfield == 3\"\n",
        "[filter.bad]\ndorp = \"uid == 3\"\n",
        "[collector]\nid = \"another\"\n",
        "[collector]\nqueue = 9\n",
        "[nosuchsection]\nx = 1\n",
    ];
    let replaced = [
        ("poll_interval = ", "poll_interval = 1 # "),
        ("poll_interval = ", "data_ring = \"1MiB\"\npoll_interval = "),
        ("poll_interval = ", "queue = 3\npoll_interval = "),
        ("[collector.store]\n", "[collector.store]\npath = \"/proc/self/mem/store\"\n"),
    ];
    let at = dice.below((wrong.len() + replaced.len() + 2) as u64) as usize;
    if let Some(more) = wrong.get(at) {
        fs::write(file, format!("{good}{more}")).unwrap();
        return (*more).to_owned();
    }
    if let Some((from, to)) = replaced.get(at - wrong.len()) {
        fs::write(file, good.replacen(from, to, 1)).unwrap();
        return format!("{to:?} for {from:?}");
    }
    fs::remove_file(file).unwrap();
    if at.is_multiple_of(2) {
        fs::create_dir(file).unwrap();
        return "a folder in its place".to_owned();
    }
    "no file".to_owned()
}
