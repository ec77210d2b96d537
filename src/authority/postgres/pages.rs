//! Pages: what changed above cursors, and the triggers above an index.

use tokio_postgres::Row;
use uuid::Uuid;

use super::super::answer::PAGE_BYTES_MAX;
use super::error::PostgresError;
use super::pipeline::Call;
use super::row::{get, stored};
use super::store::PostgresStore;
use super::tables::Table;
use super::values::{compared, uncounted};
use crate::algebra::{Action, CollectionName, Cursors, EntityKey, Epoch, FullRow, Index, Page, Trigger};

impl PostgresStore<'_> {
    pub(super) fn page(&self, above: &Cursors, rows_max: usize) -> Result<Page, PostgresError> {
        self.flush()?;
        let held = self.held.borrow();
        let mut page = Page {
            generation: self.generation,
            cursors: above.clone(),
            triggers_until: Index(held.last_trigger),
            ..Page::default()
        };
        let mut bytes_left = PAGE_BYTES_MAX;
        for (collection, counter) in held.counters.iter().filter(|(_, counter)| counter.last.0 > 0) {
            let Some(table) = self.shared.tables.get(collection) else { continue };
            let cursor = above.get(collection).copied().unwrap_or_default();
            if cursor < counter.last {
                let rows_left = rows_max.saturating_sub(page.rows.len());
                let found = self.rows_above(collection, table, cursor, rows_left, bytes_left)?;
                let is_full = found.len() > rows_left;
                for row in found.into_iter().take(rows_left) {
                    bytes_left = bytes_left.saturating_sub(row.version.bytes());
                    page.cursors.insert(collection.clone(), row.epoch);
                    page.floors.insert(collection.clone(), counter.floor);
                    page.rows.push(row);
                }
                // Full by bytes: the last row is the first one that is too much, and there are others behind it.
                let is_heavy = bytes_left == 0 && page.cursors.get(collection) < Some(&counter.last);
                if is_full || is_heavy {
                    page.has_more = true;
                    return Ok(page);
                }
            }
            // Epochs whose entity was changed again later are passed over too.
            page.cursors.insert(collection.clone(), counter.last.max(cursor));
            page.floors.insert(collection.clone(), counter.floor);
        }
        Ok(page)
    }

    /// The rows of a collection above an epoch: one more than asked for where there are more.
    fn rows_above(
        &self,
        collection: &CollectionName,
        table: &Table,
        above: Epoch,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<FullRow>, PostgresError> {
        let call = Call::new(&table.says.page)
            .with(self.account)
            .with(compared(above.0))
            .with(i64::try_from(rows_max).unwrap_or(i64::MAX).saturating_add(1))
            .with(i64::try_from(bytes_max).unwrap_or(i64::MAX));
        let rows = self.session.borrow_mut().asked(call)?;
        rows.iter()
            .map(|row| {
                let (id, stored, _) = stored(row)?;
                let key = EntityKey::new(collection.clone(), id)
                    .map_err(|error| PostgresError::damaged(format!("a row of {collection}"), error))?;
                Ok(stored.row(key))
            })
            .collect()
    }

    pub(super) fn hints(
        &self,
        above: Index,
        triggers_max: usize,
    ) -> Result<Option<Vec<Trigger>>, PostgresError> {
        self.flush()?;
        if above.0 < self.held.borrow().triggers_from {
            return Ok(None);
        }
        let call = Call::new(&self.shared.own.triggers)
            .with(self.account)
            .with(compared(above.0))
            .with(i64::try_from(triggers_max).unwrap_or(i64::MAX));
        let rows = self.session.borrow_mut().asked(call)?;
        let mut triggers = Vec::new();
        for row in &rows {
            let wanted = self.triggers_of(row)?.into_iter().filter(|trigger| trigger.index > above);
            triggers.extend(wanted.take(triggers_max.saturating_sub(triggers.len())));
            if triggers.len() >= triggers_max {
                break;
            }
        }
        Ok(Some(triggers))
    }

    fn triggers_of(&self, row: &Row) -> Result<Vec<Trigger>, PostgresError> {
        let first = uncounted("a trigger's index", get(row, 0)?)?;
        let sender: Option<Uuid> = get(row, 1)?;
        let (numbers, ids): (Vec<i32>, Vec<Uuid>) = (get(row, 2)?, get(row, 3)?);
        let (epochs, deletes): (Vec<i64>, Vec<bool>) = (get(row, 4)?, get(row, 5)?);
        if [ids.len(), epochs.len(), deletes.len()] != [numbers.len(); 3] {
            return Err(PostgresError::damaged(format!("the triggers from {first} on"), "a part is missing"));
        }
        let parts = numbers.into_iter().zip(ids).zip(epochs.into_iter().zip(deletes));
        (first..)
            .zip(parts)
            .map(|(index, ((number, id), (epoch, is_delete)))| {
                let collection =
                    self.shared.tables.names.get(&number).cloned().ok_or(PostgresError::OtherSchema)?;
                let key = EntityKey::new(collection, id)
                    .map_err(|error| PostgresError::damaged(format!("the trigger {index}"), error))?;
                let action = if is_delete { Action::Delete } else { Action::Upsert };
                let epoch = Epoch(uncounted("an epoch", epoch)?);
                Ok(Trigger { index: Index(index), key, action, epoch, sender })
            })
            .collect()
    }
}
