//! A row's `extended` object: the data of a record for which the table has no column.
//!
//! The object is never built as a JSON tree. Code that needs the fields visits them in the record's details, because
//! this happens for every row, on the hot path.

use std::borrow::Cow;
use std::sync::Arc;

use nix::errno::Errno;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{CgroupId, Details, Text, text};

/// Holds all data of a row that has no column.
#[derive(Clone, Debug, PartialEq)]
pub struct Extended {
    /// The record's own data; the parts that are columns are left out when fields are visited.
    pub details: Details,
    /// Cgroup and namespaces of the process, for kernel records.
    pub context: Option<ProcessContext>,
    /// Fields added by normalising and enriching: exact bytes of escaped columns, enrichers' keys.
    pub extra: Vec<(Cow<'static, str>, Extra)>,
}

/// The value of a field that was added to a record's own.
#[derive(Clone, Debug, PartialEq)]
pub enum Extra {
    /// A value of any other kind.
    Value(Value),
    /// The exact bytes of this text, shown in hex. They are shared with the text's column.
    Bytes(Text),
}

/// Cgroup, container and namespaces of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessContext {
    /// The cgroup, as in [`crate::Identity::cgroup`].
    pub cgroup_id: CgroupId,
    /// The cgroup's path below its hierarchy's root, once an enricher has found it.
    pub cgroup: Option<Arc<str>>,
    /// The container, once an enricher has found it; its id is a column.
    pub container: Option<Arc<Container>>,
    /// Id of a container that the cgroup's name claims, in a folder of neither root nor a runtime's user.
    pub container_claimed: Option<Arc<str>>,
    /// Inode number of the pid namespace.
    pub pid_ns: u32,
    /// Inode number of the mount namespace.
    pub mnt_ns: u32,
    /// Inode number of the network namespace.
    pub net_ns: Option<u32>,
    /// User who logged in, and the session of that login.
    pub login: [Option<u32>; 2],
    /// Real user id; absent where the details have it.
    pub ruid: Option<u32>,
    /// User id for access to files, if it is not the effective one; absent where the details have it.
    pub fsuid: Option<u32>,
    /// Process id in its own pid namespace.
    pub ns_pid: u32,
}

impl ProcessContext {
    fn visit_ids<'a>(&self, field: &mut impl FnMut(&'a str, Field<'a>)) {
        let [loginuid, sessionid] = self.login;
        let ids = [
            ("net_ns", self.net_ns),
            ("loginuid", loginuid),
            ("sessionid", sessionid),
            ("ruid", self.ruid),
            ("fsuid", self.fsuid),
        ];
        for (name, id) in ids {
            if let Some(id) = id {
                field(name, Field::Uint(id.into()));
            }
        }
    }
}

/// Data of a container besides its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Runtime (`docker`, `containerd`, …), taken from the cgroup's path or from the runtime's socket.
    pub runtime: Option<&'static str>,
    /// Uid of the Kubernetes pod.
    pub pod_uid: Option<String>,
    /// Name of the container, as reported by the runtime.
    pub name: Option<String>,
    /// Image of the container, as reported by the runtime.
    pub image: Option<String>,
}

impl Container {
    fn visit<'a>(&'a self, field: &mut impl FnMut(&'a str, Field<'a>)) {
        let fields = [
            ("container_runtime", self.runtime),
            ("container_name", self.name.as_deref()),
            ("container_image", self.image.as_deref()),
            ("pod_uid", self.pod_uid.as_deref()),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                field(name, Field::Str(value.into()));
            }
        }
    }
}

/// The value of a field.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Field<'a> {
    /// A boolean value.
    Bool(bool),
    /// A signed number.
    Int(i64),
    /// An unsigned number.
    Uint(u64),
    /// A single text.
    Str(Cow<'a, str>),
    /// Names of flag bits.
    Names(Vec<Cow<'static, str>>),
    /// A list of texts, such as arguments.
    Texts(&'a [Text]),
    /// Any JSON value.
    Json(Cow<'a, Value>),
}

impl<'a> Field<'a> {
    /// Returns the value as the text that Python would show, because duetector compares that; `None` for null.
    pub fn into_python(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Bool(truth) => Some(python_bool(truth)),
            Self::Str(text) => Some(text),
            Self::Json(Cow::Borrowed(Value::String(text))) => Some(text.into()),
            Self::Json(ref value) => match **value {
                Value::Null => None,
                Value::Bool(truth) => Some(python_bool(truth)),
                _ => Some(self.to_plain().into_owned().into()),
            },
            other => Some(other.to_plain().into_owned().into()),
        }
    }

    /// Returns the value as the text that filters compare: strings unchanged, all else as JSON.
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

fn python_bool(truth: bool) -> Cow<'static, str> {
    if truth { "True" } else { "False" }.into()
}

impl Extended {
    /// Creates an extended object with only `details`.
    pub fn new(details: Details) -> Self {
        Self { details, context: None, extra: Vec::new() }
    }

    /// Calls `field` with the name and value of each field. If a name occurs twice, the later value is the valid one.
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
            if let Some(id) = &context.container_claimed {
                field("container_claimed", Field::Str(Cow::Borrowed(id)));
            }
            field("pid_ns", Field::Uint(context.pid_ns.into()));
            field("mnt_ns", Field::Uint(context.mnt_ns.into()));
            field("ns_pid", Field::Uint(context.ns_pid.into()));
            context.visit_ids(&mut field);
        }
        for (name, value) in &self.extra {
            match value {
                Extra::Value(value) => field(name, Field::Json(Cow::Borrowed(value))),
                Extra::Bytes(text) => field(name, Field::Str(text::hex(text.as_bytes()).into())),
            }
        }
    }

    /// Returns the field of that name, if there is one.
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

/// Returns the kernel's name for an errno (`ENOENT`), given as a positive number; `None` for an unused number.
pub fn errno_name(number: i64) -> Option<String> {
    match Errno::from_raw(i32::try_from(number).ok()?) {
        Errno::UnknownErrno => None,
        errno => Some(format!("{errno:?}")),
    }
}

pub(crate) fn visit_text<'a>(
    name: &'static str,
    bytes_name: &'static str,
    text: &'a Text,
    field: &mut dyn FnMut(&'a str, Field<'a>),
) {
    field(name, Field::Str(text.to_str()));
    if let Some(hex) = text.raw_hex() {
        field(bytes_name, Field::Str(hex.into()));
    }
}
