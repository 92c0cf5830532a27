//! Sources of values for an expression: a row in memory, or a row of a store that is read column by column.

use super::kind::Kind;
use super::value::{Items, Value};
use model::Tracking;

/// A row that an expression can be applied to.
pub trait Source {
    /// Returns the value of a column.
    fn column(&self, column: Column) -> Value<'_>;
    /// Returns the value of a field of `extended`; null if there is none.
    fn field(&self, name: &str) -> Value<'_>;
}

macro_rules! columns {
    ($($variant:ident $name:literal $kind:expr),* $(,)?) => {
        /// A column that can be named in an expression.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Column { $($variant),* }

        impl Column {
            /// All columns, in this order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Returns the column's name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Returns the column's type.
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
    /// Returns whether the column is stored; if not, only filters of the agent can use it.
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
            Column::Comm => self.comm.as_ref().map(model::Text::as_str).into(),
            Column::Cwd => self.cwd.as_ref().map(model::Text::as_str).into(),
            Column::Exe => self.exe.as_ref().map(model::Text::as_str).into(),
            Column::Fname => self.fname.as_ref().map(model::Text::as_str).into(),
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

/// A row without values, for evaluating parts that do not depend on a row.
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
        let mut known: Vec<&str> = model::schema::COLUMNS.iter().map(|column| column.name).collect();
        known.retain(|name| *name != "extended");
        known.push("tracer");
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }
}
