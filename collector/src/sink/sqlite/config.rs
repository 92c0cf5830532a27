//! Settings of the file with duetector's schema (`[collector.sqlite]`).

use std::path::PathBuf;

use super::Sqlite;
use crate::sink::Sink;
use crate::sink::database::config::{DatabaseConfig, Layout, Making};

/// Settings of the file with duetector's schema (`[collector.sqlite]`).
pub type SqliteConfig = DatabaseConfig<Duetector>;

/// Tables of duetector's schema; the file's name is duetector's, too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Duetector {}

impl Layout for Duetector {
    const FILE: &'static str = "duetector-dbcollector.sqlite3";
    const DISABLED: bool = true;

    fn sink(path: PathBuf, making: Making) -> Box<dyn Sink> {
        Box::new(Sqlite::of(path, making))
    }
}
