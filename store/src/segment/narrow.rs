//! Finds out by statistics and bloom filters of a sealed file that a row group has no row with the values looked for.

use std::fs::File;

use arrow_schema::ArrowError;
use model::schema::ArrowType;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::basic::SortOrder;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use crate::layout::{OTHER, kind};
use crate::sought::{Condition, Sought};

/// Returns whether a row group may have a row that fulfils all conditions. The result is false only if there is none.
pub(super) fn may_have(
    file: &File,
    metadata: &ArrowReaderMetadata,
    row_group: usize,
    conditions: &[Condition],
) -> Result<bool, ArrowError> {
    let group = metadata.metadata().row_group(row_group);
    for condition in conditions.iter().filter(|condition| !fulfils_otherwise(group, condition)) {
        // What has no column is null, or of a type that this version does not know.
        let Ok(field) = metadata.schema().field_with_name(&condition.column) else { return Ok(false) };
        let Some(kind) = kind(field.data_type()) else { continue };
        if !condition.values.iter().all(|sought| is_compared(kind, sought)) {
            continue;
        }
        let Some(index) = leaf(group, &condition.column) else { continue };
        let chunk = group.column(index);
        let mut left = condition.values.iter().filter(|sought| is_within(chunk, sought)).peekable();
        if is_all_null(chunk) || left.peek().is_none() {
            return Ok(false);
        }
        if condition.has_many() || chunk.bloom_filter_offset().is_none() {
            continue;
        }
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file.try_clone()?, metadata.clone());
        let filter = reader.get_row_group_column_bloom_filter(row_group, index)?;
        if filter.is_some_and(|filter| !left.any(|sought| has(&filter, kind, sought))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Returns whether a row group may have a row that fulfils the condition whatever the value in the column is.
fn fulfils_otherwise(group: &RowGroupMetaData, condition: &Condition) -> bool {
    condition.or_has.is_some_and(|field| may_have_field(group, field))
        || (condition.is_field && may_have_other(group, &condition.column))
}

/// Returns whether a row group may have a row with this field.
pub(super) fn may_have_field(group: &RowGroupMetaData, name: &str) -> bool {
    let in_column = leaf(group, name).is_some_and(|index| !is_all_null(group.column(index)));
    in_column || may_have_other(group, name)
}

/// Returns whether a row group may have a row with this name in the map of other fields.
fn may_have_other(group: &RowGroupMetaData, name: &str) -> bool {
    // The names are the first column of the map.
    let names = group.columns().iter().find(|chunk| chunk.column_path().parts()[0] == OTHER);
    names.is_some_and(|names| !is_all_null(names) && is_within(names, &Sought::Text(name.to_owned())))
}

/// Returns the index of a column whose values are not lists or maps.
fn leaf(group: &RowGroupMetaData, name: &str) -> Option<usize> {
    group.columns().iter().position(|chunk| matches!(chunk.column_path().parts(), [only] if only == name))
}

fn is_all_null(chunk: &ColumnChunkMetaData) -> bool {
    let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
    nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values()))
}

/// Returns whether values of a column of this type are compared with such a value ([`crate::typed::Values::can_be`]).
fn is_compared(kind: ArrowType, sought: &Sought) -> bool {
    match sought {
        Sought::Int(_) => kind.is_number() || kind == ArrowType::TimestampUtc,
        Sought::Text(_) | Sought::Prefix(_) => kind == ArrowType::Utf8,
        Sought::Bytes(_) => kind == ArrowType::Binary,
    }
}

/// Returns whether a value lies between the smallest and the largest one of the column, as far as those are known.
fn is_within(chunk: &ColumnChunkMetaData, sought: &Sought) -> bool {
    let Some(statistics) = chunk.statistics().filter(|known| !known.is_min_max_deprecated()) else {
        return true;
    };
    let is_unsigned = chunk.column_descr().sort_order() == SortOrder::UNSIGNED;
    let between = |min: Option<i64>, max: Option<i64>, number: i64| {
        let (Some(min), Some(max)) = (min, max) else { return true };
        if is_unsigned {
            // A negative number is none of an unsigned column.
            number >= 0 && (min.cast_unsigned()..=max.cast_unsigned()).contains(&number.cast_unsigned())
        } else {
            (min..=max).contains(&number)
        }
    };
    let widened =
        |number: &i32| if is_unsigned { i64::from(number.cast_unsigned()) } else { i64::from(*number) };
    match (statistics, sought) {
        (Statistics::Int32(known), Sought::Int(number)) => {
            between(known.min_opt().map(widened), known.max_opt().map(widened), *number)
        }
        (Statistics::Int64(known), Sought::Int(number)) => {
            between(known.min_opt().copied(), known.max_opt().copied(), *number)
        }
        (Statistics::ByteArray(known), Sought::Text(_) | Sought::Bytes(_) | Sought::Prefix(_)) => {
            let (sought, is_prefix) = match sought {
                Sought::Text(text) => (text.as_bytes(), false),
                Sought::Bytes(bytes) => (bytes.as_slice(), false),
                Sought::Prefix(prefix) => (prefix.as_bytes(), true),
                Sought::Int(_) => return true,
            };
            let is_from = |min: &[u8]| min <= sought || (is_prefix && min.starts_with(sought));
            // Long ones are cut so that they are still bounds.
            known.min_bytes_opt().is_none_or(is_from) && known.max_bytes_opt().is_none_or(|max| sought <= max)
        }
        _ => true,
    }
}

fn has(filter: &Sbbf, kind: ArrowType, sought: &Sought) -> bool {
    match sought {
        Sought::Text(text) => filter.check(text.as_str()),
        Sought::Bytes(bytes) => filter.check(bytes.as_slice()),
        // A filter knows only whole values.
        Sought::Prefix(_) => true,
        Sought::Int(number) => match kind {
            ArrowType::Int64 | ArrowType::UInt64 | ArrowType::TimestampUtc => filter.check(number),
            // Smaller numbers have 32 bits in a file.
            ArrowType::UInt32 => {
                u32::try_from(*number).is_ok_and(|number| filter.check(&number.cast_signed()))
            }
            _ => i32::try_from(*number).is_ok_and(|number| filter.check(&number)),
        },
    }
}
