//! Rows into topics: encoded, put into batches, and durable before anyone is told.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, new_null_array},
    datatypes::{Int32Type, Schema, TimestampMicrosecondType},
};
use bytes::Bytes;
use commitlog::{
    Append, partition_of,
    record::{BatchBuilder, Codec},
};
use datafusion::execution::SendableRecordBatchStream;
use futures::{TryStreamExt, stream::FuturesUnordered};
use lake::{TopicTable, columns::pseudo};
use model::{Error, Result, TopicPartition, error::codes};
use schemas::{
    Format, RegisteredSchema, SchemaType,
    encode::{Encoder, avro_schema, json_schema},
    registry::SchemaRequest,
};

use super::Run;

/// A batch is appended before it would have more bytes than this; a larger record goes by itself.
const BATCH_BYTES: usize = 512 << 10;
/// Appends under way at the same time.
const APPENDS_MAX: usize = 8;

impl Run<'_> {
    /// Appends all rows; on return they are durable. After an error some of them may be in the topic, as with any producer.
    pub(super) async fn publish(&self, topic: &Arc<TopicTable>, mut rows: SendableRecordBatchStream) -> Result<u64> {
        self.may_write(&topic.topic)?;
        let parts = &self.engine().parts;
        let publisher = self.publisher(topic).await?;
        let mut building: Vec<BatchBuilder> = (0..topic.partitions).map(|_| BatchBuilder::new(Codec::Zstd)).collect();
        let mut appends = FuturesUnordered::new();
        let mut published = 0;
        while let Some(batch) = rows.try_next().await.map_err(|e| self.map(e))? {
            let records = publisher.encode(&batch, parts.world.clock.now_ms())?;
            for record in records {
                let partition = record.partition;
                let builder = &mut building[partition];
                if !builder.is_empty() && builder.size_bytes() + record.size_bytes() > BATCH_BYTES {
                    let full = std::mem::replace(builder, BatchBuilder::new(Codec::Zstd));
                    appends.push(self.append_batch(topic, partition, full));
                    // Bounded: waiting for the oldest holds the source back.
                    while appends.len() >= APPENDS_MAX {
                        appends.try_next().await?;
                    }
                }
                let headers: Vec<(&str, &[u8])> =
                    record.headers.iter().map(|(k, v)| (k.as_str(), v.as_ref())).collect();
                let builder = &mut building[partition];
                builder.push(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &headers);
                published += 1;
            }
        }
        for (partition, builder) in building.into_iter().enumerate() {
            if !builder.is_empty() {
                appends.push(self.append_batch(topic, partition, builder));
            }
        }
        while appends.try_next().await?.is_some() {}
        Ok(published)
    }

    fn append_batch(
        &self,
        topic: &TopicTable,
        partition: usize,
        batch: BatchBuilder,
    ) -> futures::future::BoxFuture<'static, Result<commitlog::Appended>> {
        let to = TopicPartition::new(topic.topic.clone(), partition as i32);
        self.engine().parts.log.append(&to, batch.build(), Append::default())
    }

    async fn publisher(&self, topic: &Arc<TopicTable>) -> Result<Publisher> {
        if topic.topic.is_protected() {
            return Err(Error::new(
                codes::SQL_UNSUPPORTED,
                format!("topic `{}` is Lakehead's own and not written to by SQL", topic.topic),
            ));
        }
        let all = topic.schema.fields();
        let key_fields: Vec<_> = all[..topic.key_columns].to_vec();
        let value_fields = all[topic.key_columns..topic.own_columns()].iter();
        let value_fields: Vec<_> =
            value_fields.map(|field| field.as_ref().clone().with_name(pseudo::field_of(field.name()))).collect();
        let wrapped = topic.declaration.as_ref().is_none_or(|declaration| declaration.wrap_single_value);
        let key_columns = Arc::new(Schema::new(key_fields));
        let value_columns = Arc::new(Schema::new(value_fields));
        let key = if topic.key_columns > 0 {
            let wrapped = topic.key_columns > 1;
            let schema = self.registered(topic, topic.key_format, "key", &key_columns, wrapped).await?;
            Some(Encoder::new(topic.key_format, key_columns, wrapped, schema)?)
        } else {
            None
        };
        let schema = self.registered(topic, topic.value_format, "value", &value_columns, wrapped).await?;
        let value = Encoder::new(topic.value_format, value_columns, wrapped, schema)?;
        Ok(Publisher { key, value, partitions: topic.partitions as usize })
    }

    /// The schema payloads are written by: the subject's newest, else one made from the columns and registered.
    async fn registered(
        &self,
        topic: &TopicTable,
        format: Format,
        side: &str,
        columns: &Schema,
        wrapped: bool,
    ) -> Result<Option<Arc<RegisteredSchema>>> {
        if !format.is_framed() {
            return Ok(None);
        }
        let registry = &self.engine().parts.registry;
        let subject = format!("{}-{side}", topic.topic);
        if let Some((_, schema)) = registry.latest(&subject) {
            return Ok(Some(schema));
        }
        let name: String = topic.topic.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let (schema_type, schema) = match format {
            Format::Avro => (SchemaType::Avro, avro_schema(columns, &format!("{name}_{side}"), wrapped)?),
            // The encoder refuses, and no schema is registered for nothing.
            Format::Protobuf => return Ok(None),
            _ => (SchemaType::Json, json_schema(columns, &format!("{name}_{side}"), wrapped)?),
        };
        let request =
            SchemaRequest { schema, schema_type: Some(schema_type.as_str().to_owned()), ..SchemaRequest::default() };
        registry.register(&subject, request, false).await?;
        Ok(registry.latest(&subject).map(|(_, schema)| schema))
    }
}

struct Publisher {
    key: Option<Encoder>,
    value: Encoder,
    partitions: usize,
}

struct Record {
    partition: usize,
    timestamp_ms: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Bytes)>,
}

impl Record {
    /// About what it adds to a batch.
    fn size_bytes(&self) -> usize {
        let headers: usize = self.headers.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers + 32
    }
}

impl Publisher {
    fn encode(&self, batch: &RecordBatch, now_ms: i64) -> Result<Vec<Record>> {
        let keys = match &self.key {
            Some(key) => key.encode(&pick(batch, key.columns())?)?,
            None => raw_keys(batch),
        };
        let values = self.value.encode(&pick(batch, self.value.columns())?)?;
        let timestamps = batch.column_by_name(pseudo::TIMESTAMP);
        let partitions = batch.column_by_name(pseudo::PARTITION);
        let headers = batch.column_by_name(pseudo::HEADERS);
        // Records without a key go round the partitions, a batch at a time.
        static TURN: AtomicU32 = AtomicU32::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed) as usize;
        keys.into_iter()
            .zip(values)
            .enumerate()
            .map(|(row, (key, value))| {
                let partition = match partitions
                    .filter(|p| p.is_valid(row))
                    .map(|p| p.as_primitive::<Int32Type>().value(row))
                {
                    Some(given) => usize::try_from(given).ok().filter(|p| *p < self.partitions).ok_or_else(|| {
                        Error::new(codes::SQL_VALUE, format!("there is no partition {given}"))
                            .detail(format!("the topic has partitions 0 to {}", self.partitions - 1))
                    })?,
                    None => match &key {
                        Some(key) => partition_of(key, self.partitions),
                        None => turn % self.partitions,
                    },
                };
                let timestamp_ms = timestamps
                    .filter(|t| t.is_valid(row))
                    .map_or(now_ms, |t| t.as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(1_000));
                Ok(Record { partition, timestamp_ms, key, value, headers: headers_of(headers, row) })
            })
            .collect()
    }
}

/// The columns of `schema`, null where the statement gave none.
fn pick(batch: &RecordBatch, schema: &Arc<Schema>) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| match batch.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => new_null_array(field.data_type(), batch.num_rows()),
        })
        .collect();
    let nullable: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(nullable)), columns, &options)
        .map_err(|e| Error::new(codes::SQL_ROW_SHAPE, "rows do not fit the topic's columns").detail(e.to_string()))
}

fn raw_keys(batch: &RecordBatch) -> Vec<Option<Bytes>> {
    let Some(keys) = batch.column_by_name(pseudo::KEY) else { return vec![None; batch.num_rows()] };
    if let Some(keys) = keys.as_string_opt::<i32>() {
        return keys.iter().map(|key| key.map(|key| Bytes::copy_from_slice(key.as_bytes()))).collect();
    }
    match keys.as_binary_opt::<i32>() {
        Some(keys) => keys.iter().map(|key| key.map(Bytes::copy_from_slice)).collect(),
        None => vec![None; batch.num_rows()],
    }
}

fn headers_of(headers: Option<&ArrayRef>, row: usize) -> Vec<(String, Bytes)> {
    let Some(list) = headers.and_then(|h| h.as_list_opt::<i32>()).filter(|h| h.is_valid(row)) else {
        return Vec::new();
    };
    let items = list.value(row);
    let Some(items) = items.as_struct_opt() else { return Vec::new() };
    let (Some(keys), Some(values)) = (items.column(0).as_string_opt::<i32>(), items.column(1).as_binary_opt::<i32>())
    else {
        return Vec::new();
    };
    keys.iter()
        .zip(values.iter())
        .filter_map(|(key, value)| Some((key?.to_owned(), Bytes::copy_from_slice(value.unwrap_or_default()))))
        .collect()
}
