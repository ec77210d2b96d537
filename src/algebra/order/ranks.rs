//! The order without a schema: by [`rank`](super::rank), and where two are equal by entity.
//!
//! Operations are put where their kind goes as they come. A fold gives them in the order of their last operations,
//! which is the order of deletes and of updates already: mostly nothing has to be moved.

use super::super::names::Seq;
use super::super::operation::Change;
use super::super::plan::Planned;
use super::rank_of;

/// Operations being put in order.
#[derive(Default)]
pub(in super::super) struct Ranks {
    deletes: Kind,
    creates: Kind,
    updates: Kind,
}

/// The operations of one kind, as they came.
#[derive(Default)]
struct Kind {
    planned: Vec<Planned>,
    last: Seq,
    is_disordered: bool,
}

impl Ranks {
    pub(in super::super) fn push(&mut self, planned: Planned) {
        let kind = match &planned.operation.change {
            Change::Delete => &mut self.deletes,
            Change::Create(_) => &mut self.creates,
            Change::Update(_) => &mut self.updates,
        };
        let (_, turn) = rank_of(&planned);
        kind.is_disordered |= turn <= kind.last;
        kind.last = turn;
        kind.planned.push(planned);
    }

    pub(in super::super) fn into_operations(self) -> Vec<Planned> {
        let [mut all, creates, updates] = [self.deletes, self.creates, self.updates].map(Kind::in_order);
        for mut more in [creates, updates] {
            if all.is_empty() {
                all = more;
            } else {
                all.append(&mut more);
            }
        }
        all
    }
}

impl Kind {
    fn in_order(self) -> Vec<Planned> {
        let mut all = self.planned;
        if self.is_disordered {
            // Numbers are sorted, and then each operation moves once.
            all.sort_by_cached_key(rank_of);
            for equal in all.chunk_by_mut(|a, b| rank_of(a) == rank_of(b)) {
                equal.sort_by(|a, b| a.operation.key.cmp(&b.operation.key));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fields::{Patch, State};
    use super::super::super::names::{CollectionName, EntityKey};
    use super::super::super::operation::Operation;
    use super::*;

    #[test]
    fn in_whatever_order_operations_come_they_end_by_rank_and_then_by_entity() {
        let planned = |number: u128| {
            let id = uuid::Uuid::from_u128(number + 1);
            let key = EntityKey::new(CollectionName::new("notes").unwrap(), id).unwrap();
            let operation = match number % 3 {
                0 => Operation::delete(key),
                1 => Operation::create(key, State::empty()),
                _ => Operation::patch(key, Patch::empty()),
            };
            let turn = u64::try_from(number).unwrap();
            // Some turns are those of two entities, and firsts come in another order than lasts.
            let (first, last) = (turn * 7 % 10, 10 + turn * 3 % 20);
            Planned {
                operation,
                base: None,
                first: Seq(first),
                last: Seq(last),
                operations: 1,
                touched: None,
            }
        };
        let all: Vec<Planned> = (0..60).map(planned).collect();
        let mut expected = all.clone();
        expected.sort_by(|a, b| (rank_of(a), &a.operation.key).cmp(&(rank_of(b), &b.operation.key)));
        let mut as_they_came = all.clone();
        let mut by_last = all.clone();
        by_last.sort_by_key(|planned| planned.last);
        as_they_came.reverse();
        for order in [all, as_they_came, by_last, expected.clone()] {
            let mut ranks = Ranks::default();
            order.into_iter().for_each(|planned| ranks.push(planned));
            assert_eq!(ranks.into_operations(), expected);
        }
    }
}
