//! Settings of the columnar store (`[collector.store]`).

use std::path::PathBuf;

use super::Store;
use crate::sink::Sink;
use crate::sink::database::config::{DatabaseConfig, Layout, Making};

/// Settings of the columnar store (`[collector.store]`): typed rows as Arrow batches in one SQLite file.
pub type StoreConfig = DatabaseConfig<Columnar>;

/// Typed rows as Arrow batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Columnar {}

impl Layout for Columnar {
    const FILE: &'static str = "store.sqlite3";
    const DISABLED: bool = false;

    fn sink(path: PathBuf, making: Making) -> Box<dyn Sink> {
        Box::new(Store::of(path, making.durability, making.shared))
    }
}
