//! The table of columns. The struct of a row is made from it, and everything that lists columns walks [`COLUMNS`]: SQL,
//! JSON, expressions, filters, templates and `docs/FIELDS.md`.

use std::sync::Arc;

use serde::Serialize;

use super::arrow::ArrowType;
use super::value::{ColumnSlot, ColumnValue, Held};
use super::{ColumnKind, Tracers};
use crate::{ExecId, Extended, Lineage, Text, TracerName, WallTime, ZonedTime};

/// Description of a column.
struct Info {
    name: &'static str,
    arrow: ArrowType,
    core: bool,
    tracers: Tracers,
    since: &'static str,
    about: &'static str,
}

macro_rules! columns {
    (
        core $core_since:literal {
            $($(#[doc = $core_about:literal])+ $Core:ident $core:ident: $CoreType:ty, $CoreArrow:expr, $core_tracers:expr;)+
        }
        $(own $since:literal {
            $($(#[doc = $about:literal])+ $Own:ident $own:ident: $OwnType:ty, $OwnArrow:expr, $tracers:expr;)+
        })+
    ) => {
        /// A row. Data without a column of its own is in `extended`.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct Tracking {
            /// Tracer that the row is stored under.
            pub tracer: TracerName,
            $($(#[doc = $core_about])+ pub $core: Option<$CoreType>,)+
            $($($(#[doc = $about])+ pub $own: Option<$OwnType>,)+)+
            /// Pids of the process and its ancestors, nearest first; set only if a filter needs it, and not stored.
            #[serde(skip)]
            pub ancestors: Option<Lineage>,
            /// Everything else, as an object.
            pub extended: Extended,
        }

        impl Tracking {
            /// Creates a row with only a tracer, a time and details.
            pub fn new(tracer: TracerName, dt: WallTime, extended: Extended) -> Self {
                let mut row = Self { tracer, $($core: None,)+ $($($own: None,)+)+ ancestors: None, extended };
                row.dt = Some(dt);
                row
            }

            /// Returns the value of a column.
            pub fn value(&self, column: Column) -> ColumnValue<'_> {
                match column {
                    Column::Tracer => ColumnValue::Text(self.tracer.as_str().into()),
                    $(Column::$Core => self.$core.as_ref().map_or(ColumnValue::Null, Held::value),)+
                    $($(Column::$Own => self.$own.as_ref().map_or(ColumnValue::Null, Held::value),)+)+
                    Column::Ancestors => self.ancestors.as_deref().map_or(ColumnValue::Null, ColumnValue::Pids),
                    Column::Extended => ColumnValue::Extended(&self.extended),
                }
            }

            /// Returns the place to write a column's value to, by type.
            pub fn slot(&mut self, column: Column) -> ColumnSlot<'_> {
                match column {
                    $(Column::$Core => Held::slot(&mut self.$core),)+
                    $($(Column::$Own => Held::slot(&mut self.$own),)+)+
                    Column::Tracer | Column::Ancestors | Column::Extended => ColumnSlot::Fixed,
                }
            }
        }

        /// A column of a row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Column {
            /// The tracer, which is part of a table's name.
            Tracer,
            $($(#[doc = $core_about])+ $Core,)+
            /// Everything that has no column, as an object.
            Extended,
            $($($(#[doc = $about])+ $Own,)+)+
            /// Pids of the process and its ancestors.
            Ancestors,
        }

        /// The columns of a table of rows except `id`, in the table's order: those that duetector has, then our own.
        pub const COLUMNS: &[Column] = &[$(Column::$Core,)+ Column::Extended, $($(Column::$Own,)+)+];

        impl Column {
            /// All columns: those of a table, and two that no table has.
            pub const ALL: &[Self] =
                &[Self::Tracer, $(Self::$Core,)+ Self::Extended, $($(Self::$Own,)+)+ Self::Ancestors];

            const fn info(self) -> Info {
                match self {
                    Self::Tracer => TRACER,
                    $(Self::$Core => Info {
                        name: stringify!($core), arrow: $CoreArrow, core: true, tracers: $core_tracers,
                        since: $core_since, about: concat!($($core_about),+),
                    },)+
                    Self::Extended => EXTENDED,
                    $($(Self::$Own => Info {
                        name: stringify!($own), arrow: $OwnArrow, core: false, tracers: $tracers, since: $since,
                        about: concat!($($about),+),
                    },)+)+
                    Self::Ancestors => ANCESTORS,
                }
            }
        }
    };
}

const TRACER: Info = Info {
    name: "tracer",
    arrow: ArrowType::Utf8,
    core: false,
    tracers: Tracers::All,
    since: "0.1.0",
    about: "Tracer that the row is stored under.",
};

const EXTENDED: Info = Info {
    name: "extended",
    arrow: ArrowType::Struct,
    core: true,
    tracers: Tracers::All,
    since: "0.1.0",
    about: "The fields below, and those of tracers that are not built in.",
};

const ANCESTORS: Info = Info {
    name: "ancestors",
    arrow: ArrowType::List(&ArrowType::UInt32),
    core: false,
    tracers: Tracers::Kernel,
    since: "0.1.0",
    about: "Pids of the process and its ancestors, nearest first. Only filters have it.",
};

columns! {
    core "0.1.0" {
        /// Id of the process.
        Pid pid: i64, ArrowType::Int64, Tracers::Kernel;
        /// Effective user id; in a `loss` row, the user whose records were lost.
        Uid uid: i64, ArrowType::Int64, Tracers::KernelOr("loss");
        /// Effective group id.
        Gid gid: i64, ArrowType::Int64, Tracers::Kernel;
        /// Time of the event, local wall time.
        Dt dt: WallTime, ArrowType::LocalTime, Tracers::All;
        /// Command name of the thread.
        Comm comm: Text, ArrowType::Utf8, Tracers::Kernel;
        /// Working folder at that moment.
        Cwd cwd: Text, ArrowType::Utf8, Tracers::Kernel;
        /// The file, program or object that the event is about.
        Fname fname: Text, ArrowType::Utf8, Tracers::Only(super::fields::PATHS);
    }
    own "0.1.0" {
        /// Id of the thread.
        Tid tid: i64, ArrowType::Int64, Tracers::Kernel;
        /// Process id of the parent.
        Ppid ppid: i64, ArrowType::Int64, Tracers::Kernel;
        /// Identity of the process instance.
        ExecId exec_id: ExecId, ArrowType::Utf8, Tracers::Kernel;
        /// Executable file at that moment.
        Exe exe: Text, ArrowType::Utf8, Tracers::Kernel;
        /// Id of the container, if the process is in one.
        ContainerId container_id: Arc<str>, ArrowType::Utf8, Tracers::Kernel;
        /// Result of the call, negative errno on failure.
        Ret ret: i64, ArrowType::Int64, Tracers::Only(super::fields::RESULTS);
        /// Number of events that the row stands for, if it is not one.
        Count count: i64, ArrowType::Int64, Tracers::Only(&["loss", "retention"]);
        /// Time of the event, UTC, by the wall clock of that moment. Rows are ordered and selected by it.
        Time time: ZonedTime, ArrowType::TimestampUtc, Tracers::All;
        /// Time of the event by the boot clock, which nobody sets: nanoseconds since the machine was started.
        BootNs boot_ns: i64, ArrowType::Int64, Tracers::All;
    }
}

impl Column {
    /// Returns the column of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|column| column.name() == name)
    }

    /// Returns the column's name, which is also the key in JSON output.
    pub const fn name(self) -> &'static str {
        self.info().name
    }

    /// Returns the type in a columnar store.
    pub const fn arrow(self) -> ArrowType {
        self.info().arrow
    }

    /// Returns the type in a table of SQL.
    pub const fn kind(self) -> ColumnKind {
        match self.arrow() {
            ArrowType::Utf8 | ArrowType::Binary => ColumnKind::Text,
            ArrowType::LocalTime => ColumnKind::DateTime,
            ArrowType::TimestampUtc => ColumnKind::Time,
            ArrowType::List(_) | ArrowType::Struct => ColumnKind::Json,
            ArrowType::Bool
            | ArrowType::Int32
            | ArrowType::Int64
            | ArrowType::UInt8
            | ArrowType::UInt16
            | ArrowType::UInt32
            | ArrowType::UInt64 => ColumnKind::Integer,
        }
    }

    /// Returns whether duetector has the column too.
    pub const fn is_core(self) -> bool {
        self.info().core
    }

    /// Returns whether the column is stored; if not, only filters of the agent can use it.
    pub const fn is_stored(self) -> bool {
        !matches!(self, Self::Ancestors)
    }

    /// Returns the tracers that fill the column.
    pub const fn tracers(self) -> Tracers {
        self.info().tracers
    }

    /// Returns the version that wrote the column first.
    pub const fn since(self) -> &'static str {
        self.info().since
    }

    /// Returns a description of the column.
    pub fn about(self) -> &'static str {
        self.info().about.trim()
    }
}
