//! Record batches → one Arrow batch with a topic's columns. Touches outside bytes: nothing here panics or fails because of
//! what a record holds.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int64Array, ListBuilder, RecordBatch, StringBuilder,
        StructBuilder, TimestampMicrosecondArray,
    },
    compute::filter_record_batch,
    datatypes::Schema,
};
use bytes::Bytes;
use commitlog::{
    Slice,
    record::{Header, Record, Records},
};
use model::{
    Code, Error, Offset, PartitionId, Result, TimestampMs,
    error::codes::{BATCH_UNDECODABLE, RECORD_UNDECODABLE},
};
use schemas::{
    Format, SchemaSource,
    decode::{DecodeOptions, Decoded, Decoder},
};

use crate::{
    Origin, TopicTable,
    columns::pseudo::{self, header_fields, header_item},
};

/// Largest batch after decompression: what a lying header may cost.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// A record, or a batch of them, that could not be read.
#[derive(Clone, Debug)]
pub(crate) struct Rejected {
    pub code: &'static Code,
    /// Which part: `key`, `value` or `batch`.
    pub part: &'static str,
    pub cause: String,
    pub schema_id: Option<i32>,
    pub offset: Offset,
    /// More than one record only for a whole batch.
    pub records: i64,
    pub timestamp: TimestampMs,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

impl Rejected {
    pub(crate) fn bytes(&self) -> usize {
        128 + self.cause.len() + self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// What a stretch of the log decoded to.
pub(crate) struct DecodedSlice {
    /// Offsets covered: from where decoding began to where to go on.
    pub range: Range<Offset>,
    pub batch: RecordBatch,
    pub timestamps: Option<(TimestampMs, TimestampMs)>,
    pub rejected: Vec<Rejected>,
    pub unknown_fields: Vec<String>,
    /// Whether any record had a value.
    pub has_values: bool,
}

/// Decodes the records of a topic with one set of columns.
pub(crate) struct SliceDecoder {
    table: Arc<TopicTable>,
    key: Option<Decoder>,
    value: Option<Decoder>,
}

impl SliceDecoder {
    /// With `keep_whole` a record that has more than the columns take is rejected, if nobody said that they are all that is
    /// wanted.
    pub(crate) fn new(table: &Arc<TopicTable>, schemas: Arc<dyn SchemaSource>, keep_whole: bool) -> Result<Self> {
        let fields = table.schema.fields();
        let columns = |range: Range<usize>| Arc::new(Schema::new(fields[range].to_vec()));
        // Whoever declares the columns says what a record is; whoever sends a file line by line sends its first one too.
        let names_line = table.origin == Origin::Inferred;
        let options = |wrapped| DecodeOptions { wrapped, names_line, ..DecodeOptions::default() };
        let key = match table.key_columns {
            0 => None,
            n => {
                let wrapped = n > 1 || table.key_wrapped;
                Some(Decoder::new(table.key_format, columns(0..n), options(wrapped), schemas.clone())?)
            }
        };
        let value = match (table.value_columns, table.value_format) {
            (0, _) | (_, Format::None) => None,
            (_, format) => {
                let columns = columns(table.key_columns..table.own_columns());
                let read_from =
                    columns.fields().iter().map(|f| f.as_ref().clone().with_name(pseudo::field_of(f.name())));
                let columns = Arc::new(Schema::new(read_from.collect::<Vec<_>>()));
                let rejects_unknown = keep_whole && table.wants_all_fields();
                let options = DecodeOptions { rejects_unknown, ..options(table.value_wrapped) };
                Some(Decoder::new(format, columns, options, schemas)?)
            }
        };
        Ok(Self { table: table.clone(), key, value })
    }

    pub(crate) fn table(&self) -> &Arc<TopicTable> {
        &self.table
    }

    /// Decodes the committed records of `slice` with offsets in `wanted`.
    pub(crate) fn decode(
        &mut self,
        partition: PartitionId,
        slice: &Slice,
        wanted: Range<Offset>,
    ) -> Result<DecodedSlice> {
        let mut rejected = Vec::new();
        let unpacked = unpack(slice, &wanted, &mut rejected)?;
        let mut rows = Vec::new();
        for (header, block) in &unpacked.blocks {
            read_records(header, block, &wanted, &mut rows, &mut rejected);
        }
        let mut out = self.decode_rows(partition, &rows, &mut rejected)?;
        out.range = wanted.start..unpacked.next.max(wanted.start);
        out.rejected = rejected;
        Ok(out)
    }

    fn decode_rows(
        &mut self,
        partition: PartitionId,
        rows: &[Record<'_>],
        rejected: &mut Vec<Rejected>,
    ) -> Result<DecodedSlice> {
        let mut keep = Keep::all(rows.len());
        let mut reject = |row: usize, part, cause: String, schema_id, keep: &mut Keep| {
            if keep.drop(row) {
                rejected.push(rejection(&rows[row], RECORD_UNDECODABLE, part, cause, schema_id));
            }
        };
        let values = self.value.as_mut().map(|decoder| decoder.decode(rows.iter().map(|row| row.value)));
        let keys = self.key.as_mut().map(|decoder| decoder.decode(rows.iter().map(|row| row.key)));
        let mut unknown_fields = Vec::new();
        for (part, decoded) in [("value", &values), ("key", &keys)] {
            let Some(decoded) = decoded else { continue };
            decoded.headers.iter().for_each(|row| _ = keep.drop(*row));
            for bad in &decoded.rejected {
                reject(bad.row, part, bad.cause.clone(), bad.schema_id, &mut keep);
            }
        }
        if let Some(decoded) = &values {
            unknown_fields.clone_from(&decoded.unknown_fields);
        }
        let key_is_text = self.table.key_is_text();

        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.table.schema.fields().len());
        for decoded in [keys, values].into_iter().flatten() {
            columns.extend(keep.of(decoded)?.columns().iter().cloned());
        }
        // Columns nobody decodes (format NONE).
        while columns.len() < self.table.own_columns() {
            let field = self.table.schema.field(columns.len());
            columns.push(arrow::array::new_null_array(field.data_type(), keep.count));
        }
        let kept = || keep.rows(rows);
        columns.push(Arc::new(Int32Array::from_value(partition, keep.count)));
        columns.push(Arc::new(kept().map(|row| row.offset).collect::<Int64Array>()));
        columns.push(Arc::new(
            kept()
                .map(|row| (row.timestamp >= 0).then(|| row.timestamp.saturating_mul(1000)))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("+00:00"),
        ));
        columns.push(keys_array(kept(), key_is_text));
        columns.push(headers_array(kept(), keep.count));
        let batch = RecordBatch::try_new(self.table.schema.clone(), columns)
            .map_err(|e| Error::internal("decoded columns do not fit their topic").detail(e.to_string()))?;
        Ok(DecodedSlice {
            range: 0..0,
            batch,
            timestamps: kept().map(|row| (row.timestamp, row.timestamp)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))),
            rejected: Vec::new(),
            unknown_fields,
            has_values: rows.iter().any(|row| row.value.is_some()),
        })
    }
}

/// Some keys and values of a stretch of the log, for guessing what they look like.
pub(crate) fn sample(slice: &Slice, wanted: &Range<Offset>, mut visit: impl FnMut(&Record<'_>)) -> Result<()> {
    let mut ignored = Vec::new();
    let unpacked = unpack(slice, wanted, &mut ignored)?;
    for (header, block) in &unpacked.blocks {
        let mut rows = Vec::new();
        read_records(header, block, wanted, &mut rows, &mut ignored);
        rows.iter().for_each(&mut visit);
    }
    Ok(())
}

struct Unpacked {
    blocks: Vec<(Header, Bytes)>,
    next: Offset,
}

fn unpack(slice: &Slice, wanted: &Range<Offset>, rejected: &mut Vec<Rejected>) -> Result<Unpacked> {
    let mut unpacked = Unpacked { blocks: Vec::new(), next: wanted.start };
    let mut bytes = 0;
    for batch in slice.batches() {
        let (batch, is_hidden) = batch?;
        let header = batch.header;
        if header.next_offset() <= wanted.start {
            continue;
        }
        // What a slice unpacks to is bounded too: the rest comes with the next slice.
        if header.base_offset >= wanted.end || bytes > BATCH_BYTES_MAX / 8 {
            break;
        }
        unpacked.next = header.next_offset().min(wanted.end);
        if is_hidden {
            continue;
        }
        // What the disk has not kept as it was is no row.
        match batch.check_crc().and_then(|()| batch.decompress(BATCH_BYTES_MAX)) {
            Ok(block) => {
                bytes += block.len();
                unpacked.blocks.push((header, block));
            }
            Err(error) => rejected.push(whole_batch(&header, &error, Some(batch.bytes.to_vec()))),
        }
    }
    Ok(unpacked)
}

fn read_records<'a>(
    header: &Header,
    block: &'a [u8],
    wanted: &Range<Offset>,
    rows: &mut Vec<Record<'a>>,
    rejected: &mut Vec<Rejected>,
) {
    for record in Records::new(header, block) {
        match record {
            Ok(record) if wanted.contains(&record.offset) => rows.push(record),
            Ok(_) => {}
            // The records before the damage are read; the batch is reported.
            Err(error) => rejected.push(whole_batch(header, &error, Some(block.to_vec()))),
        }
    }
}

fn whole_batch(header: &Header, error: &Error, bytes: Option<Vec<u8>>) -> Rejected {
    Rejected {
        code: BATCH_UNDECODABLE,
        part: "batch",
        cause: error.to_string(),
        schema_id: None,
        offset: header.base_offset,
        records: i64::from(header.last_offset_delta) + 1,
        timestamp: header.max_timestamp,
        key: None,
        value: bytes,
    }
}

fn rejection(
    record: &Record<'_>,
    code: &'static Code,
    part: &'static str,
    cause: String,
    schema_id: Option<i32>,
) -> Rejected {
    Rejected {
        code,
        part,
        cause,
        schema_id,
        offset: record.offset,
        records: 1,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
    }
}

/// Whether a key can be shown as text: UTF-8 without a zero byte, which PostgreSQL's clients do not take.
pub(crate) fn is_text(key: &[u8]) -> bool {
    !key.contains(&0) && std::str::from_utf8(key).is_ok()
}

/// Which rows of the input stay.
struct Keep {
    /// `None`: all.
    rows: Option<Vec<bool>>,
    total: usize,
    count: usize,
}

impl Keep {
    fn all(total: usize) -> Self {
        Self { rows: None, total, count: total }
    }

    /// False if it was dropped before.
    fn drop(&mut self, row: usize) -> bool {
        let rows = self.rows.get_or_insert_with(|| vec![true; self.total]);
        let first = rows.get_mut(row).is_some_and(std::mem::take);
        self.count -= usize::from(first);
        first
    }

    fn rows<'r, 'a>(&'r self, rows: &'r [Record<'a>]) -> impl Iterator<Item = &'r Record<'a>> {
        rows.iter().enumerate().filter(|(row, _)| self.rows.as_ref().is_none_or(|keep| keep[*row])).map(|(_, row)| row)
    }

    /// The kept rows of a decoder's output, which may lack some rows already.
    fn of(&self, decoded: Decoded) -> Result<RecordBatch> {
        let Some(keep) = &self.rows else { return Ok(decoded.batch) };
        let mask: BooleanArray = match &decoded.rows {
            None => keep.iter().map(|keep| Some(*keep)).collect(),
            Some(places) => places.iter().map(|place| Some(keep.get(*place).copied().unwrap_or(false))).collect(),
        };
        match mask.true_count() == decoded.batch.num_rows() {
            true => Ok(decoded.batch),
            false => filter_record_batch(&decoded.batch, &mask)
                .map_err(|e| Error::internal("could not leave out undecodable records").detail(e.to_string())),
        }
    }
}

fn keys_array<'r, 'a: 'r>(rows: impl Iterator<Item = &'r Record<'a>>, text: bool) -> ArrayRef {
    if text {
        let mut builder = StringBuilder::new();
        for row in rows {
            match row.key {
                None => builder.append_null(),
                Some(key) => match std::str::from_utf8(key) {
                    Ok(text) if is_text(key) => builder.append_value(text),
                    // As PostgreSQL shows bytes: a key that is no text must not cost its record.
                    _ => builder.append_value(hex(key)),
                },
            }
        }
        Arc::new(builder.finish())
    } else {
        let mut builder = BinaryBuilder::new();
        rows.for_each(|row| builder.append_option(row.key));
        Arc::new(builder.finish())
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::from("\\x"), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

fn headers_array<'r, 'a: 'r>(rows: impl Iterator<Item = &'r Record<'a>>, count: usize) -> ArrayRef {
    let entries =
        StructBuilder::new(header_fields(), vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]);
    let mut builder = ListBuilder::with_capacity(entries, count).with_field(header_item());
    for row in rows {
        for (key, value) in row.headers() {
            let entry = builder.values();
            let names = entry.field_builder::<StringBuilder>(0).expect("the first field holds names");
            names.append_value(String::from_utf8_lossy(key));
            entry.field_builder::<BinaryBuilder>(1).expect("the second field holds bytes").append_option(value);
            entry.append(true);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}

const _: () = assert!(pseudo::COUNT == 5, "decode_rows builds five pseudo-columns");
