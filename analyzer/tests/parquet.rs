//! Answers as Parquet files: the types of columns, and values that do not fit the type of the first value.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs::File;

use analyzer::sql::Limits;
use analyzer::{Cell, Sql, render};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array as _, RecordBatch};
use arrow_schema::DataType;
use common::audit;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Returns the file that the answer to a statement makes, as one batch.
fn file_of(sql: &Sql, text: &str) -> RecordBatch {
    let file = tempfile::tempfile().unwrap();
    let written = render::parquet(&mut sql.query(text).unwrap(), &file).unwrap();
    let read = read(file);
    assert_eq!(read.num_rows() as u64, written);
    read
}

fn read(file: File) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    arrow_select::concat::concat_batches(&schema, &batches).unwrap()
}

fn kinds(batch: &RecordBatch) -> Vec<DataType> {
    batch.schema().fields().iter().map(|field| field.data_type().clone()).collect()
}

/// Returns the cells of a row, of any type, as `sql` has them.
fn cells(batch: &RecordBatch, row: usize) -> Vec<Cell> {
    let cell = |column: &arrow_array::ArrayRef| match column.data_type() {
        _ if column.is_null(row) => Cell::Null,
        DataType::Int64 => Cell::Integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Cell::Real(column.as_primitive::<Float64Type>().value(row)),
        DataType::Binary => Cell::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        _ => Cell::Text(column.as_string::<i32>().value(row).to_owned()),
    };
    batch.columns().iter().map(cell).collect()
}

#[test]
fn tables_and_views_come_with_their_types_and_values() {
    let (file, columnar) = audit::both();
    for store in [file.store(), columnar.store()] {
        let sql = Sql::new(store, Limits::default()).unwrap();
        for table in ["open", "usage", "connect", "bind", "processes", "files", "losses", "events"] {
            let text = format!("SELECT * FROM {table}");
            let found = file_of(&sql, &text);
            let mut answer = sql.query(&text).unwrap();
            let names: Vec<_> = answer.columns().iter().map(|column| column.name.clone()).collect();
            let expected: Vec<_> = answer.rows().unwrap().map(|row| row.unwrap().cells).collect();
            assert_eq!(expected.is_empty(), table == "bind");
            let fields = found.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
            assert_eq!(fields, names, "{table}");
            let rows: Vec<_> = (0..found.num_rows()).map(|row| cells(&found, row)).collect();
            assert_eq!(rows, expected, "{table}");
        }
    }
    let sql = Sql::new(columnar.store(), Limits::default()).unwrap();
    let none = file_of(&sql, "SELECT time, fname, fname_bytes FROM bind");
    assert_eq!(kinds(&none), [DataType::Int64, DataType::Utf8, DataType::Binary]);
}

#[test]
fn a_column_has_a_type_that_all_its_values_fit() {
    let (file, _) = audit::both();
    let sql = Sql::new(file.store(), Limits::default()).unwrap();
    // More rows than are in memory at a time: the others show later.
    let found = file_of(
        &sql,
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999)
         SELECT i, iif(i < 9000, i, 'word') AS mixed, iif(i < 9000, i, i + 0.5) AS half, iif(i > 9000, x'00ff', NULL) AS late,
                NULL AS none, iif(i < 9000, x'00ff', 'text') AS bytes FROM n",
    );
    let expected = [
        DataType::Int64,
        DataType::Utf8,
        DataType::Float64,
        DataType::Binary,
        DataType::Utf8,
        DataType::Utf8,
    ];
    assert_eq!(kinds(&found), expected);
    let text = |text: &str| Cell::Text(text.to_owned());
    let first = [Cell::Integer(7), text("7"), Cell::Real(7.0), Cell::Null, Cell::Null, text("00ff")];
    assert_eq!(cells(&found, 7), first);
    let last = [
        Cell::Integer(19999),
        text("word"),
        Cell::Real(19999.5),
        Cell::Bytes(vec![0, 255]),
        Cell::Null,
        text("text"),
    ];
    assert_eq!(cells(&found, 19999), last);
}
