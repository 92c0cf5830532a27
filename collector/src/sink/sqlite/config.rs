//! Settings of the store (`[collector.sqlite]`).

use std::path::PathBuf;

use model::Size;

use super::Sqlite;
use crate::sink::Sink;
use crate::sink::database::Synchronous;
use crate::sink::database::config::{DatabaseConfig, Layout};
use crate::sink::database::file::Shared;

/// Settings of the store (`[collector.sqlite]`): a SQLite file with duetector's schema.
pub type SqliteConfig = DatabaseConfig<Duetector>;

/// Tables of duetector's schema; the file's name is duetector's, too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Duetector {}

impl Layout for Duetector {
    const FILE: &'static str = "duetector-dbcollector.sqlite3";
    const DISABLED: bool = false;

    fn sink(path: PathBuf, durability: (Synchronous, Size), shared: Shared) -> Box<dyn Sink> {
        Box::new(Sqlite::of(path, durability, shared))
    }
}
