//! What a client reads on: pages of changed rows, and triggers.
//!
//! Memory is bounded by a page: what does not fit is not even read.

use std::ops::ControlFlow;

use redb::ReadableTable;
use uuid::Uuid;

use super::left;
use super::one::One;
use super::tables::{Bytes, behind, damaged, engine, epoch_key, epoch_of, number_of, opened, trigger_key};
use crate::algebra::{CollectionName, Cursors, Epoch, Index, Page, Trigger};
use crate::authority::answer::PAGE_BYTES_MAX;
use crate::authority::{Error, Store};
use crate::codec::accounts::{CollectionRecord, TriggersRecord};
use crate::codec::frame::FrameKind;

impl<T: ReadableTable<Bytes, Bytes>> One<'_, T> {
    /// At most so many of the rows changed above the cursors.
    pub(super) fn page(&self, above: &Cursors, rows_max: usize) -> Result<Page, Error> {
        let mut page = Page {
            generation: self.generation()?,
            cursors: above.clone(),
            triggers_until: self.last_trigger()?,
            ..Page::default()
        };
        let mut bytes = 0;
        for (collection, record) in self.all_collections()? {
            self.add_rows(&mut page, &mut bytes, rows_max, (&collection, &record))?;
            if page.has_more {
                break;
            }
        }
        Ok(page)
    }

    /// Adds the rows of one collection above a cursor to a page, until the page is full.
    fn add_rows(
        &self,
        page: &mut Page,
        bytes: &mut usize,
        rows_max: usize,
        (collection, record): (&CollectionName, &CollectionRecord),
    ) -> Result<(), Error> {
        let cursor = page.cursors.get(collection).copied().unwrap_or_default();
        let account = self.number();
        let Some(next) = cursor.0.checked_add(1) else { return Ok(()) };
        let from = epoch_key(account, record.number, next, Uuid::nil());
        let to = epoch_key(account, record.number, u64::MAX, Uuid::max());
        let held = self.held.borrow();
        let (mut last, mut left) = (None, None);
        held.epochs.walk(&self.tables.epochs, &from, &to, |place| {
            let (key, stored) = self.led_to(collection, record.number, place)?;
            if epoch_key(account, record.number, stored.epoch.0, key.id()) != place {
                if left.is_none() {
                    left = Some(left::listed(self.tables, account)?);
                }
                let epoch = epoch_of(place).unwrap_or_default();
                let place = (record.number, epoch, key.id());
                if held.left.contains(&place) || left.as_ref().is_some_and(|left| left.contains(&place)) {
                    return Ok(ControlFlow::Continue(()));
                }
                return Err(self.misplaced(&format!("the order of {collection}")));
            }
            if page.rows.len() >= rows_max {
                page.has_more = true;
                return Ok(ControlFlow::Break(()));
            }
            *bytes += stored.version.bytes();
            // One row always fits. The rest is not even read: a page stands in memory at once.
            if *bytes > PAGE_BYTES_MAX && !page.rows.is_empty() {
                page.has_more = true;
                return Ok(ControlFlow::Break(()));
            }
            last = Some(stored.epoch);
            page.rows.push(stored.row(key));
            Ok(ControlFlow::Continue(()))
        })?;
        // Epochs whose entity was changed again later are passed over too.
        let read = if page.has_more { last } else { Some(Epoch(record.last_epoch).max(cursor)) };
        if let Some(read) = read {
            page.cursors.insert(collection.clone(), read);
            page.floors.insert(collection.clone(), Epoch(record.floor));
        }
        Ok(())
    }

    /// At most so many of the triggers above an index, and whether all of them are still kept.
    pub(super) fn kept_triggers(
        &self,
        above: Index,
        triggers_max: usize,
    ) -> Result<Option<Vec<Trigger>>, Error> {
        let held = self.held.borrow();
        let account = &held.account;
        if above.0 < account.triggers_from {
            return Ok(None);
        }
        let Some(next) = above.0.checked_add(1) else { return Ok(Some(Vec::new())) };
        let mut found: Vec<Trigger> = Vec::new();
        let what = || self.what(&format!("trigger {next}"));
        // Each stands under the last of its value, so the first value from here on is the one that has the next.
        let (from, to) = (trigger_key(account.number, next), behind(&trigger_key(account.number, u64::MAX)));
        for row in self.tables.triggers.range(from.as_slice()..to.as_slice()).map_err(engine)? {
            if found.len() >= triggers_max {
                break;
            }
            let (key, value) = row.map_err(engine)?;
            let value: TriggersRecord = opened(FrameKind::Triggers, key.value(), value.value(), what)?;
            let last = number_of(key.value()).unwrap_or_default();
            let triggers = value.triggers(last).map_err(damaged(what()))?;
            found.extend(triggers.into_iter().filter(|trigger| trigger.index > above));
        }
        found.extend(held.triggers.iter().filter(|trigger| trigger.index > above).cloned());
        found.truncate(triggers_max);
        let is_without_gap = (next..).zip(&found).all(|(index, trigger)| trigger.index.0 == index);
        let is_all =
            found.len() >= triggers_max || next.saturating_add(found.len() as u64) > account.last_trigger;
        if is_without_gap && is_all {
            return Ok(Some(found));
        }
        Err(Error::Damaged { what: what(), why: "it is missing, or one behind it".to_owned() })
    }
}
