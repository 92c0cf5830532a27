//! A row's `extended` object: what a record knows and the table has no column for.
//!
//! It is not built as a JSON tree: the fields are visited where they are needed, straight from the record's
//! details, because this happens once a row on the hot path.

use std::borrow::Cow;
use std::sync::Arc;

use nix::errno::Errno;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{CgroupId, Details, Text};

/// Everything of a row that has no column.
#[derive(Clone, Debug, PartialEq)]
pub struct Extended {
    /// The record's own fields; those that became columns are left out when fields are visited.
    pub details: Details,
    /// Cgroup and namespaces of the process, for kernel records.
    pub context: Option<ProcessContext>,
    /// What normalising and enriching added: exact bytes of escaped columns, enrichers' keys.
    pub extra: Vec<(Cow<'static, str>, Value)>,
}

/// Where a process ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessContext {
    /// See [`crate::Identity::cgroup`].
    pub cgroup_id: CgroupId,
    /// That cgroup's path below its hierarchy's root, once it was looked up.
    pub cgroup: Option<Arc<str>>,
    /// The container, likewise; its id is a column.
    pub container: Option<Arc<Container>>,
    /// Inode number of the pid namespace.
    pub pid_ns: u32,
    /// Inode number of the mount namespace.
    pub mnt_ns: u32,
    /// Process id in its own pid namespace.
    pub ns_pid: u32,
}

/// What is told of a container besides its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Who runs it (`docker`, `containerd`, …), as its cgroup's name or its socket tells.
    pub runtime: Option<&'static str>,
    /// Of Kubernetes: its pod's uid.
    pub pod_uid: Option<String>,
    /// Its name, as its runtime answered.
    pub name: Option<String>,
    /// Its image, as its runtime answered.
    pub image: Option<String>,
}

impl Container {
    fn visit<'a>(&'a self, field: &mut impl FnMut(&'a str, Field<'a>)) {
        let told = [
            ("container_runtime", self.runtime),
            ("container_name", self.name.as_deref()),
            ("container_image", self.image.as_deref()),
            ("pod_uid", self.pod_uid.as_deref()),
        ];
        for (name, value) in told {
            if let Some(value) = value {
                field(name, Field::Str(value.into()));
            }
        }
    }
}

/// One field's value.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Field<'a> {
    /// Truth.
    Bool(bool),
    /// Signed number.
    Int(i64),
    /// Unsigned number.
    Uint(u64),
    /// Text.
    Str(Cow<'a, str>),
    /// Names: of flag bits.
    Names(Vec<Cow<'static, str>>),
    /// Texts: arguments.
    Texts(&'a [Text]),
    /// Anything.
    Json(Cow<'a, Value>),
}

impl Field<'_> {
    /// The value as plain text, as filters compare it: strings as they are, all else as JSON.
    pub fn to_plain(&self) -> Cow<'_, str> {
        match self {
            Self::Str(text) => Cow::Borrowed(text),
            Self::Json(value) => match value.as_ref() {
                Value::String(text) => Cow::Borrowed(text),
                other => Cow::Owned(other.to_string()),
            },
            other => Cow::Owned(serde_json::to_string(other).unwrap_or_default()),
        }
    }
}

impl Extended {
    /// An extended object of nothing but `details`.
    pub fn new(details: Details) -> Self {
        Self { details, context: None, extra: Vec::new() }
    }

    /// Visits each field once, by name. Later fields of the same name win over earlier ones.
    pub fn visit<'a>(&'a self, mut field: impl FnMut(&'a str, Field<'a>)) {
        self.details.visit(&mut field);
        if let Some(context) = &self.context {
            field("cgroup_id", Field::Uint(context.cgroup_id.id));
            if let Some(cgroup) = &context.cgroup {
                field("cgroup", Field::Str(Cow::Borrowed(cgroup)));
            }
            if let Some(container) = &context.container {
                container.visit(&mut field);
            }
            field("pid_ns", Field::Uint(context.pid_ns.into()));
            field("mnt_ns", Field::Uint(context.mnt_ns.into()));
            field("ns_pid", Field::Uint(context.ns_pid.into()));
        }
        for (name, value) in &self.extra {
            field(name, Field::Json(Cow::Borrowed(value)));
        }
    }

    /// The field of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<Field<'_>> {
        let mut found = None;
        self.visit(|key, value| {
            if key == name {
                found = Some(value);
            }
        });
        found
    }
}

impl Serialize for Extended {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut result = Ok(());
        self.visit(|name, value| {
            if result.is_ok() {
                result = map.serialize_entry(name, &value);
            }
        });
        result?;
        map.end()
    }
}

/// The kernel's name of an errno (`ENOENT`), given the positive number; `None` for a number it does not use.
pub fn errno_name(number: i64) -> Option<String> {
    match Errno::from_raw(i32::try_from(number).ok()?) {
        Errno::UnknownErrno => None,
        errno => Some(format!("{errno:?}")),
    }
}
