//! Parquet: every column optional, texts as UTF-8, plain encoding without compression, which every reader
//! has. The `parquet` crate is used without Arrow: 72 s of one core in an optimised build against
//! several minutes.

use super::table::{Cells, Column, Table};
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};
use std::sync::Arc;

/// Rows of one group: what a reader holds at a time.
const GROUP_ROWS: usize = 1 << 18;

/// The table as one file; equal tables make equal bytes.
pub(super) fn parquet(table: &Table) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder().set_created_by("starling".to_owned()).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema(table)?, Arc::new(properties))?;
    for first in (0..table.rows).step_by(GROUP_ROWS) {
        let last = table.rows.min(first + GROUP_ROWS);
        let mut group = writer.next_row_group()?;
        for column in &table.columns {
            write(&mut group, column, first..last)?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(bytes)
}

fn schema(table: &Table) -> Result<TypePtr> {
    let field = |column: &Column| {
        let (physical, logical) = match column.cells {
            Cells::Whole(_) => (Physical::INT64, None),
            Cells::Real(_) => (Physical::DOUBLE, None),
            Cells::Flag(_) => (Physical::BOOLEAN, None),
            Cells::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let builder = Type::primitive_type_builder(&column.name, physical);
        let builder = builder.with_repetition(Repetition::OPTIONAL).with_logical_type(logical);
        builder.build().map(Arc::new)
    };
    let fields = table.columns.iter().map(field).collect::<Result<Vec<_>>>()?;
    Type::group_type_builder(table.name).with_fields(fields).build().map(Arc::new)
}

fn write(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    column: &Column,
    rows: std::ops::Range<usize>,
) -> Result<()> {
    let mut writer = group.next_column()?.expect("the schema has a column for each of the table's");
    match &column.cells {
        Cells::Whole(cells) => {
            let (values, levels) = dense(rows.map(|row| cells[row]));
            writer.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Cells::Real(cells) => {
            let (values, levels) = dense(rows.map(|row| cells[row]));
            writer.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
        Cells::Flag(cells) => {
            let (values, levels) = dense(rows.map(|row| cells[row]));
            writer.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
        }
        Cells::Text(texts) => {
            let (values, levels) = dense(rows.map(|row| texts.get(row).map(ByteArray::from)));
            writer.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    writer.close()
}

/// What is there, and for every row whether it is.
fn dense<T>(cells: impl Iterator<Item = Option<T>>) -> (Vec<T>, Vec<i16>) {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        levels.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    (values, levels)
}
