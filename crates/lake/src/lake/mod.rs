//! The façade.

mod declarations;
mod names;
mod parts;

use std::sync::{Arc, atomic::Ordering};

use arrow::array::RecordBatch;
use catalog::Catalog;
use commitlog::{Log, NameClaim};
use futures::Stream;
use model::{Error, Result, TableName, TopicName, error::codes};
use tables::{Table, Tables};
use world::World;

use self::{declarations::Declarations, parts::no_topic};
pub(crate) use self::{names::is_left_behind, parts::Parts};
use crate::{
    LakeSettings, Origin, StreamDeclaration, TailFilter, TopicPin, TopicStatus, TopicTable,
    columns::{
        fit::fit,
        projection,
        resolve::{Knowledge, check, conflicts},
    },
    registry::RegistryStore,
    tail::read,
    topic::TopicState,
    writer,
};

/// What a lake is made of.
pub struct LakeParts {
    pub log: Arc<dyn Log>,
    pub tables: Tables,
    pub catalog: Catalog,
    pub registry: Arc<RegistryStore>,
    pub world: World,
    pub settings: LakeSettings,
}

/// All topics of a node as tables.
pub struct Lake {
    pub(crate) parts: Arc<Parts>,
}

impl Lake {
    /// Cheap: reads the declarations and no topic, and drops tables that a process that died left unfinished. Before anybody
    /// makes tables. From here on no topic is made with the name of something else.
    pub async fn open(parts: LakeParts) -> Result<Arc<Self>> {
        let declarations = Declarations::load(&parts.catalog).await?;
        match parts.tables.drop_unfinished().await? {
            0 => {}
            tables => tracing::info!(tables, "dropped tables that were never finished"),
        }
        Ok(Arc::new(Self { parts: Arc::new(Parts::new(parts, declarations)) }))
    }

    // Looking.

    /// What topic `topic` looks like as a table, by its columns of this moment; `None` if there is no such topic.
    pub async fn topic_table(&self, topic: &str) -> Result<Option<Arc<TopicTable>>> {
        match self.parts.state(topic) {
            None => Ok(None),
            Some(state) => {
                let columns = state.columns(&self.parts).await?;
                match columns.origin {
                    // What came since may have brought new columns. It is decoded for good, so this is no extra work.
                    Origin::Inferred | Origin::Registry { .. } | Origin::Unknown => {
                        read::catch_up(&self.parts, &state).await?;
                        state.columns(&self.parts).await.map(Some)
                    }
                    Origin::Declared => Ok(Some(columns)),
                }
            }
        }
    }

    /// The stream declared as `name`, or the topic that is called so if `name` is in `public`. A name that is written
    /// otherwise in upper and lower case is found too, if no other fits to the letter.
    pub async fn lookup(&self, name: &TableName) -> Result<Option<Arc<TopicTable>>> {
        let in_public = name.namespace.eq_ignore_ascii_case(TableName::DEFAULT_NAMESPACE);
        if let Some(declaration) = self.parts.declarations.get_exact(name) {
            return self.declared(&declaration).await;
        }
        if in_public && let Some(table) = self.topic_table(&name.name).await? {
            return Ok(Some(table));
        }
        if let Some(declaration) = self.parts.declarations.get(name) {
            return self.declared(&declaration).await;
        }
        if !in_public {
            return Ok(None);
        }
        let topics = self.parts.log.topics();
        match topics.iter().find(|topic| topic.name.eq_ignore_ascii_case(&name.name)) {
            None => Ok(None),
            Some(topic) => self.topic_table(&topic.name).await,
        }
    }

    /// The table called `name`, unless it is what a deleted topic has left and goes in a moment.
    pub async fn table(&self, name: &TableName) -> Result<Option<Arc<Table>>> {
        let table = self.parts.tables.load(name).await?;
        Ok(table.filter(|table| !is_left_behind(&*self.parts.log, table)))
    }

    async fn declared(&self, declaration: &Arc<StreamDeclaration>) -> Result<Option<Arc<TopicTable>>> {
        match self.topic_table(&declaration.topic).await? {
            Some(table) if declaration.is_projection => {
                projection::of(&table, declaration).map(|shown| Some(Arc::new(shown)))
            }
            Some(table) => Ok(Some(table)),
            None => Err(no_topic(&declaration.topic)
                .hint(format!("stream `{}` reads it: make the topic again, or drop the stream", declaration.name))),
        }
    }

    // Reading.

    /// One state of a topic, up to the high watermarks of this moment. Fails rather than leave a gap.
    pub async fn pin(&self, topic: &Arc<TopicTable>) -> Result<TopicPin> {
        let state = self.parts.state_behind(topic)?;
        match self.try_pin(&state, topic).await {
            Err(error) if error.is(codes::TOPIC_HISTORY_GAP) && state.is_written.load(Ordering::Acquire) => {
                // The writer is here: let it note the loss now and not in a moment.
                writer::commit::flush(&self.parts, &state).await?;
                self.try_pin(&state, topic).await
            }
            pin => pin,
        }
    }

    async fn try_pin(&self, state: &Arc<TopicState>, topic: &Arc<TopicTable>) -> Result<TopicPin> {
        // The table first: what is committed after this is then read from the log, where it still is.
        let mut table = state.load_table(&self.parts).await?;
        if let Some(found) = &table
            && let conflicts = conflicts(topic, found)
            && !conflicts.is_empty()
        {
            // A column has become something else, and the next commit builds the table again: until then the log has it all.
            let now = state.columns(&self.parts).await?;
            let is_stale = !fit(&topic.schema, &now.schema).conflicts.is_empty();
            if is_stale || !state.log_is_whole(&self.parts).await? {
                return Err(Error::new(codes::STREAM_COLUMNS_CONFLICT, format!("could not read `{}`", topic.topic))
                    .detail(format!("other types are kept in its table: {}", conflicts.join(", ")))
                    .hint(
                        "run the statement again; a declared stream that goes on failing needs the types its topic has",
                    ));
            }
            table = None;
        }
        let mark = match &table {
            None => None,
            Some(table) => table.progress()?,
        };
        if let Some(mark) = &mark {
            state.mark_is_at_least(mark);
        }
        let mut tail = Vec::with_capacity(state.partitions.len());
        for partition in &state.partitions {
            let bounds = self.parts.log.bounds(&partition.at)?;
            let mark = mark.as_ref().and_then(|mark| mark.get(&partition.at.partition.to_string()));
            let from = mark.unwrap_or(bounds.log_start);
            if from < bounds.log_start {
                return Err(read::gap(&partition.at, from, bounds.log_start));
            }
            tail.push(from..bounds.last_stable.max(from));
        }
        Ok(TopicPin { topic: topic.clone(), table, tail })
    }

    /// The records of `pin` that are not in its table, decoded, with the schema of `pin.topic`. Batches are shared with the
    /// cache: nothing is copied that was decoded before. Batch by batch, so a long tail takes little memory.
    pub fn tail(
        &self,
        pin: TopicPin,
        filter: TailFilter,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send + 'static + use<> {
        read::stream(self.parts.clone(), pin, filter)
    }

    // Declaring.

    /// Declares columns for a topic (which must exist) and keeps them in the catalog.
    pub async fn declare(&self, mut declaration: StreamDeclaration, or_replace: bool) -> Result<()> {
        check(&declaration)?;
        let parts = &self.parts;
        let _one = parts.declarations.changing.lock().await;
        let name = declaration.name.clone();
        if !or_replace && parts.declarations.get_exact(&name).is_some() {
            return Err(Error::new(codes::STREAM_EXISTS, format!("could not declare `{name}`: it exists already")));
        }
        let state = parts.state(&declaration.topic).ok_or_else(|| no_topic(&declaration.topic))?;
        let _claim = parts.names.claim(&name).await;
        self.check_free(&declaration).await?;
        declaration.is_projection = self.is_projection(&state, &declaration).await?;
        if declaration.is_projection {
            return parts.declarations.put(&parts.catalog, Arc::new(declaration)).await;
        }
        if let Some(rival) = parts.declarations.rival(&declaration) {
            return Err(Error::new(codes::STREAM_TOPIC_TAKEN, format!("could not declare `{name}`"))
                .detail(format!("`{rival}` declares other columns or formats for topic `{}`", declaration.topic)));
        }
        let declaration = Arc::new(declaration);
        self.check_fits(&state, &declaration).await?;
        parts.declarations.put(&parts.catalog, declaration).await?;
        state.nudge.notify_one();
        Ok(())
    }

    /// Whether the stream may have its name.
    async fn check_free(&self, declaration: &StreamDeclaration) -> Result<()> {
        let name = &declaration.name;
        let is_public = &*name.namespace == TableName::DEFAULT_NAMESPACE;
        let taken = match self.parts.log.topic(&name.name) {
            Some(topic) if is_public && topic.name != declaration.topic => Some(format!("`{name}` is a topic")),
            _ => self.parts.names.taken(name).await?,
        };
        match taken {
            None => Ok(()),
            Some(what) => Err(Error::new(codes::STREAM_EXISTS, format!("could not declare `{name}`")).detail(what)),
        }
    }

    /// Keeps `name` for whoever is to make or replace a table or a view, as long as the claim lives: then it is told by looking
    /// whether it is free, and no topic takes it.
    pub async fn claim(&self, name: &TableName) -> NameClaim {
        Box::new(self.parts.names.claim(name).await)
    }

    /// Whether a stream under another name than its topic's only shows columns that the topic has anyway. Then the topic
    /// stays what it is.
    async fn is_projection(&self, state: &Arc<TopicState>, declaration: &StreamDeclaration) -> Result<bool> {
        if declaration.name == state.table_name() || self.parts.declarations.of_topic(&state.topic.name).is_some() {
            return Ok(false);
        }
        let columns = state.columns(&self.parts).await?;
        Ok(matches!(columns.origin, Origin::Inferred | Origin::Registry { .. })
            && projection::of(&columns, &Arc::new(declaration.clone())).is_ok())
    }

    /// Whether the rows that are in the table can stay with the columns declared, or be read again.
    async fn check_fits(&self, state: &TopicState, declaration: &Arc<StreamDeclaration>) -> Result<()> {
        let Some(table) = state.load_table(&self.parts).await? else { return Ok(()) };
        let knowledge = Knowledge {
            topic: &state.topic,
            declaration: Some(declaration.clone()),
            subjects: Default::default(),
            known: None,
        };
        let wanted = knowledge.table(&Default::default())?;
        let fit = fit(&wanted.schema, table.arrow_schema());
        if fit.conflicts.is_empty() || state.log_is_whole(&self.parts).await? {
            return Ok(());
        }
        Err(Error::new(codes::STREAM_COLUMNS_CONFLICT, format!("could not declare `{}`", declaration.name)).detail(
            format!("table `{}` already has columns of other types: {}", state.table_name(), fit.conflicts.join(", ")),
        ))
    }

    /// Forgets a declaration; the topic, its records and its table stay. False if there was none.
    pub async fn undeclare(&self, name: &TableName) -> Result<bool> {
        let _one = self.parts.declarations.changing.lock().await;
        self.parts.declarations.remove(&self.parts.catalog, name).await
    }

    /// The declaration called `name`; case matters only when two names differ in nothing else.
    pub fn declaration(&self, name: &TableName) -> Option<Arc<StreamDeclaration>> {
        self.parts.declarations.get(name)
    }

    /// All declarations, by name.
    pub fn declarations(&self) -> Vec<Arc<StreamDeclaration>> {
        self.parts.declarations.all()
    }

    // Writing.

    /// Role `lake`: follows all topics and commits their records to their tables until the node stops. Once per log.
    /// Holds on the log are in place when this returns.
    pub fn start_writer(&self) {
        writer::start(&self.parts);
    }

    /// Commits what is in the log of `topic` at this moment, and returns once it is in the table.
    pub async fn flush(&self, topic: &str) -> Result<()> {
        match TopicName::new(topic).ok().and_then(|name| self.parts.state(&name)) {
            Some(state) => writer::commit::flush(&self.parts, &state).await,
            None => Err(Error::new(codes::TOPIC_NOT_FOUND, format!("there is no topic `{}`", topic.escape_debug()))),
        }
    }

    /// What is being done, topic by topic, by name. Topics nobody asked for or follows are left out.
    pub fn status(&self) -> Vec<TopicStatus> {
        let mut all: Vec<_> = self.parts.states().iter().map(|state| self.status_of(state)).collect();
        all.sort_by(|a, b| a.topic.cmp(&b.topic));
        all
    }

    fn status_of(&self, state: &TopicState) -> TopicStatus {
        let extents = state.extents(&self.parts);
        let figures = &state.figures;
        TopicStatus {
            topic: state.topic.name.clone(),
            table: state.table_name(),
            origin: state.last_columns().map_or(Origin::Unknown, |columns| columns.origin.clone()),
            rows_committed: figures.rows_committed.load(Ordering::Relaxed),
            mark: extents.iter().map(|extent| extent.start).collect(),
            lag: extents.iter().map(|extent| u64::try_from(extent.end - extent.start).unwrap_or(0)).sum(),
            last_commit_ms: *figures.last_commit_ms.lock(),
            rejected: figures.rejected.load(Ordering::Relaxed),
            lost: figures.lost.load(Ordering::Relaxed),
            error: figures.error.lock().as_ref().map(ToString::to_string),
        }
    }
}
