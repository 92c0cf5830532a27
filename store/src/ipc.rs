//! Record batches as bytes: messages of Arrow's IPC stream format, compressed with LZ4. The message of a schema, followed by
//! that of any of its batches, is a stream that every Arrow library reads.

use std::io::Cursor;
use std::io::Read as _;
use std::panic::AssertUnwindSafe;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::{ArrowError, DataType, Schema, SchemaRef};

/// Alignment of buffers in a message, in bytes. A batch has some hundred buffers, mostly small ones, so that a larger one would
/// make small batches several times as large.
const ALIGNMENT: usize = 8;

/// First bytes of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Size of LZ4's data, decompressed, as a multiple of the compressed size: at most this.
const LARGEST_RATIO: i64 = 255;

/// Encodes batches and their schemas as messages.
#[derive(Debug)]
pub(crate) struct Encoder {
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Encoder {
    pub(crate) fn new() -> Result<Self, ArrowError> {
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?
            .try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        Ok(Self { options, context: IpcWriteContext::default() })
    }

    /// Returns the message of a schema.
    pub(crate) fn schema(&self, schema: &Schema) -> Result<Vec<u8>, ArrowError> {
        let (generator, mut none) = (IpcDataGenerator::default(), DictionaryTracker::new(true));
        let encoded = generator.schema_to_bytes_with_dictionary_tracker(schema, &mut none, &self.options);
        let mut message = Vec::new();
        write_message(&mut message, encoded, &self.options)?;
        Ok(message)
    }

    /// Returns the message of a batch.
    pub(crate) fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
        let (generator, mut none) = (IpcDataGenerator::default(), DictionaryTracker::new(true));
        let (_, encoded) = generator.encode(batch, &mut none, &self.options, &mut self.context)?;
        let mut message = Vec::with_capacity(encoded.ipc_message.len() + encoded.arrow_data.len() + 64);
        write_message(&mut message, encoded, &self.options)?;
        Ok(message)
    }
}

/// Returns the schema of a message.
pub(crate) fn read_schema(schema: &[u8]) -> Result<SchemaRef, ArrowError> {
    check(schema)?;
    StreamReader::try_new(schema, None).map(|reader| reader.schema())
}

/// Returns the batch of a message, which has this schema. Only the columns at the indexes given are read, if any are.
pub(crate) fn read_batch(
    schema: &[u8],
    batch: &[u8],
    columns: Option<Vec<usize>>,
) -> Result<RecordBatch, ArrowError> {
    check(schema)?;
    check(batch)?;
    let stream = Cursor::new(schema).chain(Cursor::new(batch));
    caught(move || {
        let mut reader = StreamReader::try_new(stream, columns)?;
        let missing = || ArrowError::IpcError("the message of the batch is missing".to_owned());
        reader.next().unwrap_or_else(|| Err(missing()))
    })
}

/// Returns for each column of a batch whether any row has a value in it, according to the batch's message.
pub(crate) fn with_values(schema: &Schema, batch: &[u8]) -> Result<Vec<bool>, ArrowError> {
    check(batch)?;
    let damaged = || ArrowError::IpcError("the message does not describe all columns".to_owned());
    // `check` has found the header where the size says.
    let header =
        batch.get(8..).and_then(|header| arrow_ipc::root_as_message(header).ok()).ok_or_else(damaged)?;
    let nodes = header.header_as_record_batch().and_then(|batch| batch.nodes()).ok_or_else(damaged)?;
    let mut next = 0;
    let columns = schema.fields().iter().map(|field| {
        let at = next;
        next += nodes_of(field.data_type());
        if at >= nodes.len() {
            return Err(damaged());
        }
        // A map without entries has no values; they are described by the next node.
        let is_map = matches!(field.data_type(), DataType::Map(..)) && at + 1 < nodes.len();
        let node = nodes.get(if is_map { at + 1 } else { at });
        Ok(node.null_count() < node.length())
    });
    columns.collect()
}

/// Returns the number of nodes that describe a column: its own, then those of the columns in it.
fn nodes_of(data_type: &DataType) -> usize {
    1 + match data_type {
        DataType::List(of) | DataType::Map(of, _) => nodes_of(of.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| nodes_of(field.data_type())).sum(),
        _ => 0,
    }
}

/// Reads, and returns an error also if a reader panics: Arrow's do at some damage that their types do not express. What was read
/// till then is dropped.
pub(crate) fn caught<T>(read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    std::panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(ArrowError::IpcError("the data are damaged: Arrow's reader panicked".to_owned()))
    })
}

/// Checks the sizes that a message states. Arrow's reader takes as much memory as they say, so that one damaged bit could
/// end the process.
fn check(message: &[u8]) -> Result<(), ArrowError> {
    let damaged = |what: &str| ArrowError::IpcError(format!("the message is damaged: {what}"));
    let (start, rest) = message.split_first_chunk::<8>().ok_or_else(|| damaged("it is too short"))?;
    let [m0, m1, m2, m3, size @ ..] = *start;
    if [m0, m1, m2, m3] != CONTINUATION {
        return Err(damaged("it does not begin like one"));
    }
    let size = usize::try_from(i32::from_le_bytes(size)).ok();
    let parts = size.filter(|size| *size > 0).and_then(|size| rest.split_at_checked(size));
    let (header, body) = parts.ok_or_else(|| damaged("it is too short for its header"))?;
    let header = arrow_ipc::root_as_message(header).map_err(|cause| damaged(&cause.to_string()))?;
    if i64::try_from(body.len()).ok() != Some(header.bodyLength()) {
        return Err(damaged("its size is not the one it states"));
    }
    let buffers = header.header_as_record_batch().and_then(|batch| batch.buffers());
    let is_sound = |buffer: &arrow_ipc::Buffer| {
        let start = usize::try_from(buffer.offset()).ok().filter(|start| start % ALIGNMENT == 0)?;
        let data = body.get(start..start.checked_add(usize::try_from(buffer.length()).ok()?)?)?;
        let Some((size, data)) = data.split_first_chunk::<8>() else { return data.is_empty().then_some(()) };
        let largest = i64::try_from(data.len()).ok()?.checked_mul(LARGEST_RATIO)?;
        // A buffer that would not become smaller is not compressed: its size is -1.
        (-1..=largest).contains(&i64::from_le_bytes(*size)).then_some(())
    };
    let unsound = buffers.is_some_and(|buffers| buffers.iter().any(|buffer| is_sound(buffer).is_none()));
    if unsound { Err(damaged("a buffer has an impossible size")) } else { Ok(()) }
}
