//! Where an expression reads from: a row in memory, or one that a store hands out column by column.

use super::kind::Kind;
use super::value::{Items, Value};
use crate::Tracking;

/// What an expression can be applied to.
pub trait Source {
    /// What is in a column.
    fn column(&self, column: Column) -> Value<'_>;
    /// What is in a field of `extended`; null if there is none.
    fn field(&self, name: &str) -> Value<'_>;
}

macro_rules! columns {
    ($($variant:ident $name:literal $kind:expr),* $(,)?) => {
        /// A column that is a name of its own in an expression.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Column { $($variant),* }

        impl Column {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Its type.
            pub fn kind(self) -> Kind {
                match self { $(Self::$variant => $kind),* }
            }
        }
    };
}

columns! {
    Tracer "tracer" Kind::Text,
    Pid "pid" Kind::Int,
    Tid "tid" Kind::Int,
    Ppid "ppid" Kind::Int,
    Uid "uid" Kind::Int,
    Gid "gid" Kind::Int,
    Comm "comm" Kind::Text,
    Cwd "cwd" Kind::Text,
    Exe "exe" Kind::Text,
    Fname "fname" Kind::Text,
    Dt "dt" Kind::Time,
    ExecId "exec_id" Kind::Text,
    ContainerId "container_id" Kind::Text,
    Ret "ret" Kind::Int,
    Count "count" Kind::Int,
    Ancestors "ancestors" Kind::List(Box::new(Kind::Int)),
}

impl Column {
    /// Whether stores have it; else only filters do, while the record is on its way.
    pub fn is_stored(self) -> bool {
        self != Self::Ancestors
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|column| column.name() == name)
    }
}

impl Source for Tracking {
    fn column(&self, column: Column) -> Value<'_> {
        match column {
            Column::Tracer => Value::text(self.tracer.as_str()),
            Column::Pid => self.pid.into(),
            Column::Tid => self.tid.into(),
            Column::Ppid => self.ppid.into(),
            Column::Uid => self.uid.into(),
            Column::Gid => self.gid.into(),
            Column::Comm => self.comm.as_ref().map(crate::Text::as_str).into(),
            Column::Cwd => self.cwd.as_ref().map(crate::Text::as_str).into(),
            Column::Exe => self.exe.as_ref().map(crate::Text::as_str).into(),
            Column::Fname => self.fname.as_ref().map(crate::Text::as_str).into(),
            Column::Dt => self.dt.map_or(Value::Null, Value::Time),
            Column::ExecId => self.exec_id.map_or(Value::Null, |id| Value::Text(id.to_string().into())),
            Column::ContainerId => self.container_id.as_deref().into(),
            Column::Ret => self.ret.into(),
            Column::Count => self.count.into(),
            Column::Ancestors => {
                self.ancestors.as_deref().map_or(Value::Null, |pids| Value::List(Items::Pids(pids)))
            }
        }
    }

    fn field(&self, name: &str) -> Value<'_> {
        self.extended.get(name).map_or(Value::Null, Value::from)
    }
}

/// Nothing known at all: for what needs no row.
pub(super) struct Nothing;

impl Source for Nothing {
    fn column(&self, _: Column) -> Value<'_> {
        Value::Null
    }

    fn field(&self, _: &str) -> Value<'_> {
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_row_has_a_name() {
        let stored = Column::ALL.iter().filter(|column| column.is_stored());
        let mut names: Vec<&str> = stored.map(|column| column.name()).collect();
        let mut known: Vec<&str> = crate::schema::COLUMNS.iter().map(|column| column.name).collect();
        known.retain(|name| *name != "extended");
        known.push("tracer");
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
