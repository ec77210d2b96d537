//! One row of a table of entities, read and written.

use tokio_postgres::Row;
use uuid::Uuid;

use super::super::store::Stored;
use super::error::PostgresError;
use super::held::Place;
use super::pipeline::Call;
use super::tables::{ColumnKind, Table};
use super::values::{Jsonb, Marks, counted, key_text, marks_bytes, marks_of, survives_jsonb, uncounted};
use crate::algebra::{
    BunchNumber, EntityKey, Epoch, Existence, ReplicaId, Schema, State, Version, Writer, referred,
};
use crate::codec::records::StampsRecord;

/// A row as `statements::row_columns` names its columns.
pub(super) fn stored(row: &Row) -> Result<(Uuid, Stored, Place), PostgresError> {
    let id: Uuid = get(row, 0)?;
    let damaged = |why: &dyn ToString| PostgresError::damaged(format!("the row of {id}"), why.to_string());
    let (as_jsonb, exact): (Option<Jsonb<&str>>, Option<&str>) = (get(row, 3)?, get(row, 4)?);
    let text = exact.or(as_jsonb.map(|jsonb| jsonb.0)).ok_or_else(|| damaged(&"it has no state"))?;
    let state = State::composed(text).map_err(|error| damaged(&error))?;
    let (stamps, fields): Marks = marks_of(get(row, 5)?)?;
    let writer = match (get::<Option<Uuid>>(row, 6)?, get::<Option<i64>>(row, 7)?) {
        (Some(replica), Some(bunch)) => {
            Some(Writer { replica: ReplicaId(replica), bunch: BunchNumber(bunch.cast_unsigned()) })
        }
        (None, _) | (_, None) => None,
    };
    let is_deleted: bool = get(row, 8)?;
    let (existence, place) = if is_deleted {
        (Existence::Dead(state), Place::Archive)
    } else {
        (Existence::Live(state), Place::Live)
    };
    let version = Version { existence, stamps: stamps.stamps() };
    let epoch = Epoch(uncounted("an epoch", get(row, 1)?)?);
    let fields = fields.into_iter().map(|(name, epoch)| (name, Epoch(epoch))).collect();
    Ok((id, Stored { version, epoch, fields, writer }, place))
}

/// A value of a row, by its place.
pub(super) fn get<'a, T: tokio_postgres::types::FromSql<'a>>(
    row: &'a Row,
    place: usize,
) -> Result<T, PostgresError> {
    row.try_get(place).map_err(|error| PostgresError::damaged(format!("column {place} of a row"), error))
}

/// Rows on their way into a table, a column an array.
#[derive(Default)]
pub(super) struct Rows {
    ids: Vec<Uuid>,
    epochs: Vec<i64>,
    state_bytes: Vec<i32>,
    states: Vec<Option<Jsonb<State>>>,
    exact: Vec<Option<String>>,
    marks: Vec<Vec<u8>>,
    replicas: Vec<Option<Uuid>>,
    bunches: Vec<Option<i64>>,
    more: Vec<Extra>,
}

/// What a column holds of a field.
pub(super) enum Extra {
    Values(Vec<Option<String>>),
    References(Vec<Option<Uuid>>),
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    pub(super) fn push(
        &mut self,
        table: &Table,
        schema: &Schema,
        key: &EntityKey,
        stored: &Stored,
    ) -> Result<(), PostgresError> {
        let empty = State::empty();
        let state = stored.version.existence.state().unwrap_or(&empty);
        let json = state.as_json();
        self.ids.push(key.id());
        self.epochs.push(counted("an epoch", stored.epoch.0)?);
        self.state_bytes.push(i32::try_from(stored.version.bytes()).unwrap_or(i32::MAX));
        let survives = survives_jsonb(json);
        self.states.push(survives.then(|| Jsonb(state.clone())));
        self.exact.push((!survives).then(|| json.to_owned()));
        let fields = stored.fields.iter().map(|(name, epoch)| (name.clone(), epoch.0)).collect();
        self.marks.push(marks_bytes(&(StampsRecord::of(&stored.version.stamps), fields))?);
        self.replicas.push(stored.writer.map(|writer| writer.replica.0));
        self.bunches.push(stored.writer.map(|writer| writer.bunch.0.cast_signed()));
        let mut more = std::mem::take(&mut self.more);
        if more.is_empty() {
            more = extras(table);
        }
        push_extras(&mut more, table, schema, key, state);
        self.more = more;
        Ok(())
    }

    /// The statement with the account and all of this.
    pub(super) fn call(self, says: &str, account: i64) -> Call {
        let call = Call::new(says)
            .with(account)
            .with(self.ids)
            .with(self.epochs)
            .with(self.state_bytes)
            .with(self.states)
            .with(self.exact)
            .with(self.marks)
            .with(self.replicas)
            .with(self.bunches);
        with_extras(call, self.more)
    }
}

/// An array for each column that the schema asks for.
pub(super) fn extras(table: &Table) -> Vec<Extra> {
    let extra = |kind: ColumnKind| match kind {
        ColumnKind::Value => Extra::Values(Vec::new()),
        ColumnKind::Reference => Extra::References(Vec::new()),
    };
    table.columns.iter().map(|column| extra(column.kind)).collect()
}

/// What the columns hold of one more state.
pub(super) fn push_extras(
    extras: &mut [Extra],
    table: &Table,
    schema: &Schema,
    key: &EntityKey,
    state: &State,
) {
    for (column, extra) in table.columns.iter().zip(extras) {
        match extra {
            Extra::Values(values) => values.push(state.raw(&column.field).map(key_text)),
            Extra::References(ids) => {
                let declared = schema.collection(key.collection());
                let reference = declared.and_then(|declared| declared.reference_of(&column.field));
                let to =
                    reference.and_then(|reference| referred(state, &column.field, reference).ok().flatten());
                ids.push(to.map(|to| to.id()));
            }
        }
    }
}

pub(super) fn with_extras(call: Call, extras: Vec<Extra>) -> Call {
    extras.into_iter().fold(call, |call, extra| match extra {
        Extra::Values(values) => call.with(values),
        Extra::References(ids) => call.with(ids),
    })
}
