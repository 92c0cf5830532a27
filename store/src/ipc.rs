//! Record batches as bytes: messages of Arrow's IPC stream format, compressed with LZ4. The message of a schema, followed by
//! that of any of its batches, is a stream that every Arrow library reads.

use std::io::Cursor;
use std::io::Read as _;

use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_ipc::{CompressionType, MetadataVersion};
use arrow_schema::{ArrowError, Schema, SchemaRef};

/// Alignment of buffers in a message, in bytes. A batch has some hundred buffers, mostly small ones, so that a larger one would
/// make small batches several times as large.
const ALIGNMENT: usize = 8;

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
    StreamReader::try_new(schema, None).map(|reader| reader.schema())
}

/// Returns the batch of a message, which has this schema. Only the columns at the indexes given are read, if any are.
pub(crate) fn read_batch(
    schema: &[u8],
    batch: &[u8],
    columns: Option<Vec<usize>>,
) -> Result<RecordBatch, ArrowError> {
    let stream = Cursor::new(schema).chain(Cursor::new(batch));
    let mut reader = StreamReader::try_new(stream, columns)?;
    let missing = || ArrowError::IpcError("the message of the batch is missing".to_owned());
    reader.next().unwrap_or_else(|| Err(missing()))
}
