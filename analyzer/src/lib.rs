//! The read side: opens a store read-only, answers typed queries, summarizes it, and writes the answers for people and
//! programs. It needs only the file, not a running agent, and links none of the agent's crates but `model`.
//!
//! ```text
//! Query ─► names looked up, values checked ─► one SQL statement ─► Answer ─► rows, one at a time ─► table, json, csv
//! ```
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # let path = dir.path().join("store.sqlite3");
//! # rusqlite::Connection::open(&path).unwrap().execute_batch(
//! #     r#"CREATE TABLE "duetector_tracking:open@vm" (id INTEGER NOT NULL, pid INTEGER, dt DATETIME, PRIMARY KEY (id));
//! #        INSERT INTO "duetector_tracking:open@vm" (pid, dt) VALUES (7, '2026-01-01 00:00:00.000000');"#).unwrap();
//! use analyzer::{Condition, Query, Store};
//!
//! let store = Store::open(&path)?;
//! let query = Query { wheres: vec!["pid=7".parse::<Condition>()?], ..Query::default() };
//! let mut answer = store.query(&query)?;
//! let rows = answer.rows()?.collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(rows.len(), 1);
//! # Ok::<(), analyzer::Error>(())
//! ```

pub mod brief;
pub mod duetector;
pub mod envelope;
pub mod error;
pub mod evidence;
pub mod file_id;
pub mod glob;
pub mod identities;
pub mod labels;
pub mod lineage;
pub mod process;
pub mod query;
pub mod quoting;
pub mod render;
pub mod rows;
pub mod span;
pub mod sql;
pub mod store;
pub mod subject;
pub mod target;
pub mod top;
pub mod uses;
pub mod when;

pub use brief::{Brief, TracerBrief};
pub use envelope::Envelope;
pub use error::Error;
pub use evidence::Evidence;
pub use file_id::FileId;
pub use identities::Identities;
pub use labels::{LabelSettings, Labels};
pub use process::{Candidates, ProcessQuery, Which};
pub use query::{Condition, Query};
pub use rows::{Answer, Cell, Row, Rows};
pub use span::Span;
pub use sql::Sql;
pub use store::{DamagedBatch, Live, Store, Table};
pub use subject::Subject;
pub use target::Target;
pub use uses::{By, Uses, UsesQuery};
