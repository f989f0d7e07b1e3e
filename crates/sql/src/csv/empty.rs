//! Empty texts of CSV files, which the engine reads as NULL.
//!
//! Its reader does not tell whether a field was in quotes. So on their way to it, the two quotes of an empty field of a text
//! column become a mark of two bytes, and behind it the mark becomes the empty text. Places in the file stay what they are,
//! so it still can be read from several places at once.

use std::{any::Any, fmt, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, Scalar, StringArray},
    compute::{cast, kernels::zip::zip},
    datatypes::DataType,
};
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::{
    common::config::CsvOptions,
    datasource::{
        file_format::file_compression_type::FileCompressionType,
        listing::PartitionedFile,
        physical_plan::{CsvSource, FileOpenFuture, FileOpener, FileScanConfig, FileSource},
        table_schema::TableSchema,
    },
    error::Result,
    physical_expr::{expressions::Column, projection::ProjectionExprs},
    physical_plan::{DisplayFormatType, metrics::ExecutionPlanMetricsSet},
};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult, path::Path,
};

/// No text: separators of records and of units, in the wrong order.
const MARK: [u8; 2] = [0x1f, 0x1e];

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// The engine's source with marks on the way.
#[derive(Clone)]
pub(super) struct Source {
    inner: Arc<dyn FileSource>,
    marker: Marker,
}

impl Source {
    pub(super) fn new(inner: CsvSource, options: &CsvOptions) -> Self {
        let columns = inner.table_schema().file_schema().fields().iter().map(|field| is_text(field.data_type()));
        let marker = Marker::new(options, columns.collect());
        Self { inner: Arc::new(inner), marker }
    }

    fn with(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Self { inner, marker: self.marker.clone() })
    }
}

impl FileSource for Source {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        // Marks are made behind the compression, so the reader sees none.
        let mut config = base_config.clone();
        let compression = std::mem::replace(&mut config.file_compression_type, FileCompressionType::UNCOMPRESSED);
        let store = Marked { store, compression, marker: self.marker.clone() };
        Ok(Arc::new(Opener(self.inner.create_file_opener(Arc::new(store), &config, partition)?)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.with(self.inner.with_batch_size(batch_size))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    /// Of columns only: what is computed must not see marks.
    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        if projection.iter().any(|projected| !projected.expr.as_any().is::<Column>()) {
            return Ok(None);
        }
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.with(inner)))
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(t, f)
    }
}

struct Opener(Arc<dyn FileOpener>);

impl FileOpener for Opener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let opened = self.0.open(file)?;
        Ok(Box::pin(async move { Ok(opened.await?.map(|batch| without_marks(batch?)).boxed()) }))
    }
}

fn without_marks(batch: RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(without_marks_in).collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

fn without_marks_in(column: &ArrayRef) -> Result<ArrayRef> {
    let is_mark = |text: Option<&str>| Some(text.is_some_and(|text| text.as_bytes() == MARK));
    let marks: BooleanArray = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().iter().map(is_mark).collect(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().map(is_mark).collect(),
        DataType::Utf8View => column.as_string_view().iter().map(is_mark).collect(),
        _ => return Ok(column.clone()),
    };
    if !marks.has_true() {
        return Ok(column.clone());
    }
    let empty = cast(&StringArray::from(vec![""]), column.data_type())?;
    Ok(zip(&marks, &Scalar::new(empty), column)?)
}

// ── marks in bytes ──

/// Where in a line the last byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a field.
    Start,
    /// Behind the first quote of a field. It is held back.
    Open,
    /// Behind two quotes at the start of a field. Both are held back.
    OpenAndClosed,
    Quoted,
    /// Behind a quote in a quoted field: its end, or the first of two.
    QuotedQuote,
    /// Behind the character that escapes, in a quoted field.
    Escaped,
    Plain,
}

#[derive(Clone)]
struct Marker {
    delimiter: u8,
    quote: u8,
    escape: Option<u8>,
    /// Whether a column is text.
    texts: Arc<[bool]>,
    place: Place,
    column: usize,
}

impl Marker {
    fn new(options: &CsvOptions, texts: Arc<[bool]>) -> Self {
        let CsvOptions { delimiter, quote, escape, .. } = *options;
        Self { delimiter, quote, escape, texts, place: Place::Start, column: 0 }
    }

    /// Whether `bytes` hold nothing to mark. Then they have been passed over.
    fn passes(&mut self, bytes: &[u8]) -> bool {
        if !matches!(self.place, Place::Start | Place::Plain) || bytes.contains(&self.quote) {
            return false;
        }
        let line = bytes.iter().rposition(|b| *b == b'\n').map(|end| end + 1);
        let fields = bytes[line.unwrap_or(0)..].iter().filter(|b| **b == self.delimiter).count();
        self.column = if line.is_some() { fields } else { self.column + fields };
        if let Some(last) = bytes.last() {
            self.place = if *last == b'\n' || *last == self.delimiter { Place::Start } else { Place::Plain };
        }
        true
    }

    fn push(&mut self, bytes: &[u8], marked: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some((&b, _)) = rest.split_first() {
            // As long as nothing can change but the place: most bytes.
            let run = match self.place {
                Place::Plain => rest.iter().position(|b| *b == self.delimiter || *b == b'\n'),
                Place::Quoted => rest.iter().position(|b| *b == self.quote || Some(*b) == self.escape),
                _ => Some(0),
            };
            let run = run.unwrap_or(rest.len());
            marked.extend_from_slice(&rest[..run]);
            if run == 0 {
                self.step(b, marked);
            }
            rest = &rest[run.max(1)..];
        }
    }

    fn step(&mut self, b: u8, marked: &mut Vec<u8>) {
        let is_quote = b == self.quote;
        self.place = match self.place {
            Place::Start if is_quote => {
                self.place = Place::Open;
                return;
            }
            Place::Open if is_quote => {
                self.place = Place::OpenAndClosed;
                return;
            }
            Place::Open => {
                marked.push(self.quote);
                self.quoted(b)
            }
            Place::OpenAndClosed if is_quote => {
                marked.extend([self.quote; 2]);
                Place::Quoted
            }
            Place::OpenAndClosed => {
                let ends = b == self.delimiter || b == b'\n' || b == b'\r';
                marked.extend(if ends { self.empty() } else { [self.quote; 2] });
                self.plain(b)
            }
            Place::Quoted if is_quote => Place::QuotedQuote,
            Place::Quoted => self.quoted(b),
            Place::Escaped => Place::Quoted,
            Place::QuotedQuote if is_quote => Place::Quoted,
            Place::QuotedQuote | Place::Start | Place::Plain => self.plain(b),
        };
        marked.push(b);
    }

    fn quoted(&self, b: u8) -> Place {
        if Some(b) == self.escape { Place::Escaped } else { Place::Quoted }
    }

    fn plain(&mut self, b: u8) -> Place {
        if b == self.delimiter {
            self.column += 1;
            Place::Start
        } else if b == b'\n' {
            self.column = 0;
            Place::Start
        } else {
            Place::Plain
        }
    }

    fn empty(&self) -> [u8; 2] {
        if self.texts.get(self.column) == Some(&true) { MARK } else { [self.quote; 2] }
    }

    /// What is still held back where the file ends.
    fn end(&mut self, marked: &mut Vec<u8>) {
        match self.place {
            Place::Open => marked.push(self.quote),
            Place::OpenAndClosed => marked.extend(self.empty()),
            _ => {}
        }
        self.place = Place::Start;
    }
}

/// Files with marks. Ranges are read from the start of a line on, as the engine does.
#[derive(Clone)]
struct Marked {
    store: Arc<dyn ObjectStore>,
    compression: FileCompressionType,
    marker: Marker,
}

impl Marked {
    fn marked(&self, bytes: BoxStream<'static, StoreResult<Bytes>>) -> Result<BoxStream<'static, StoreResult<Bytes>>> {
        let plain = self.compression.convert_stream(bytes.map_err(Into::into).boxed())?;
        let generic = |e| object_store::Error::Generic { store: "csv", source: Box::new(e) };
        // `None` stands for the end.
        let parts = plain.map(|part| part.map(Some)).chain(futures::stream::iter([Ok(None)]));
        let marker = self.marker.clone();
        let marked = parts.scan(marker, move |marker, part| {
            let marked = part.map_err(generic).map(|part| {
                let mut marked = Vec::new();
                match part {
                    Some(part) if marker.passes(&part) => return part,
                    Some(part) => {
                        marked.reserve(part.len() + 2);
                        marker.push(&part, &mut marked);
                    }
                    None => marker.end(&mut marked),
                }
                Bytes::from(marked)
            });
            futures::future::ready(Some(marked))
        });
        Ok(marked.boxed())
    }
}

impl fmt::Debug for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.store, f)
    }
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.store, f)
    }
}

#[async_trait]
impl ObjectStore for Marked {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        let got = self.store.get_opts(location, options).await?;
        let (meta, range, attributes) = (got.meta.clone(), got.range.clone(), got.attributes.clone());
        let marked = self.marked(got.into_stream());
        let marked = marked.map_err(|e| object_store::Error::Generic { store: "csv", source: Box::new(e) })?;
        Ok(GetResult { payload: GetResultPayload::Stream(marked), meta, range, attributes })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.store.get_ranges(location, ranges).await
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> StoreResult<PutResult> {
        self.store.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(location, opts).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.store.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` with `~` for marks, in pieces of `step` bytes.
    fn marked(text: &str, step: usize) -> String {
        let mut marker = Marker::new(&CsvOptions::default(), [true, false, true].into());
        let mut marked = Vec::new();
        for chunk in text.as_bytes().chunks(step) {
            if marker.passes(chunk) { marked.extend(chunk) } else { marker.push(chunk, &mut marked) }
        }
        marker.end(&mut marked);
        assert_eq!(marked.len(), text.len());
        String::from_utf8(marked).expect("text").replace("\u{1f}\u{1e}", "~")
    }

    #[test]
    fn empty_fields_of_text_columns_are_marked() {
        for (text, expected) in [
            ("\"\",\"\",\"\"\n\"\",1,\n", "~,\"\",~\n~,1,\n"),
            ("a,1,\"\"", "a,1,~"),
            ("a,1,\"\"\r\nb,2,\"\"\r\n", "a,1,~\r\nb,2,~\r\n"),
            // Quotes within quotes are no empty fields.
            ("\"a,\"\",b\",1,\"\"\n", "\"a,\"\",b\",1,~\n"),
            ("\"\"\"\",1,\"\"\"x\"\n", "\"\"\"\",1,\"\"\"x\"\n"),
            ("\"x\n\"\"\n\",1,\"\"\n", "\"x\n\"\"\n\",1,~\n"),
            ("x\"\",1,\"", "x\"\",1,\""),
        ] {
            for step in 1..=4 {
                assert_eq!(marked(text, step), expected, "{text:?}");
            }
        }
    }
}
