//! The order inside a bunch.
//!
//! Without a schema it is [`rank`]. With one it is a topological order in which every prefix respects the
//! references and unique keys wherever such an order exists; of what is ready the lowest rank goes first.
//! Entities of which nothing is known are taken to be as every operation needs them.
//!
//! ```text
//! drafts → edges (what before what, and why) → verdicts (where circles are opened) → parts → order
//! ```
//!
//! Never looks at clocks or at the order in which it is given the operations. Invariant: every operation
//! comes out once, whole or as two parts that together do the same.

mod cut;
mod cycles;
mod edges;
mod ranks;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::names::Seq;
use super::plan::{Draft, Planned, rank};
use super::schema::Schema;
use cycles::Verdict;
use edges::{Edge, edges};
pub(super) use ranks::Ranks;

/// A plan's operations in the order in which they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arranged {
    /// The operations.
    pub operations: Vec<Planned>,
    /// For each operation the others that it must not go without, by their places, each once, ascending.
    /// They are earlier ones, save where no order was valid (two entities that swap a unique value, or
    /// require each other) or where it did not matter: such a later one has to go in the same bunch, as it
    /// is at a bunch's end that the authority looks.
    pub needs: Vec<Vec<usize>>,
}

/// Puts operations, at most one an entity, in the order in which they are sent. Deterministic: the order of
/// the drafts does not matter.
///
/// With a schema,
/// - what creates an entity goes before what refers to it, and so does an update that may revive it,
///   where that closes no circle;
/// - what drops a reference, and what deletes the one that refers, goes before the delete of what it
///   referred to;
/// - what frees a unique value goes before what takes it.
///
/// A circle of these is opened at a reference to something new that is not required, `set_null` ones first,
/// then at the lowest rank: the operation goes without that field, and its completion
/// ([`Planned::is_completion`]) sets the field as soon as it may. A circle without such a reference has no
/// valid order; there the operation of the lowest rank goes first, and everything else stays as valid as it
/// can be.
#[must_use]
pub fn arranged(mut drafts: Vec<Draft>, schema: Option<&Schema>) -> Arranged {
    let Some(schema) = schema else {
        let mut ranks = Ranks::default();
        drafts.into_iter().for_each(|draft| ranks.push(draft.planned));
        let operations = ranks.into_operations();
        return Arranged { needs: vec![Vec::new(); operations.len()], operations };
    };
    rank_all(&mut drafts);
    let edges = edges(&drafts, schema);
    let verdicts = cycles::verdicts(drafts.len(), &edges);
    let decided: Vec<(Edge<'_>, Verdict)> = edges.into_iter().zip(verdicts).collect();
    Graph::new(drafts, &decided).arranged()
}

fn rank_all(drafts: &mut [Draft]) {
    drafts.sort_by(|a, b| {
        (rank_of(&a.planned), &a.planned.operation.key).cmp(&(rank_of(&b.planned), &b.planned.operation.key))
    });
}

/// For each draft the drafts that surely depend on it, by their places.
pub(super) fn dependents(drafts: &[Draft], schema: &Schema) -> Vec<Vec<usize>> {
    let mut dependents = vec![Vec::new(); drafts.len()];
    for edge in edges(drafts, schema) {
        if edge.is_certain()
            && let Some(dependents) = dependents.get_mut(edge.from)
        {
            dependents.push(edge.to);
        }
    }
    dependents
}

fn rank_of(planned: &Planned) -> (u8, Seq) {
    rank(&planned.operation.change, planned.first, planned.last)
}

/// Orders what is ready: by rank, and where two are equal as the drafts were sorted.
type Turn = ((u8, Seq), usize);

/// What is sent, as nodes: first the drafts by rank, behind them the completions of those that were cut.
struct Graph {
    nodes: Vec<Node>,
}

struct Node {
    planned: Planned,
    turn: Turn,
    /// What it must go after.
    after: BTreeSet<usize>,
    /// What it must not go without, though it does not wait for it.
    with: BTreeSet<usize>,
    /// What waits for it.
    before: Vec<usize>,
}

impl Graph {
    fn new(drafts: Vec<Draft>, decided: &[(Edge<'_>, Verdict)]) -> Self {
        let mut cuts: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for (edge, verdict) in decided {
            if let (Verdict::Cut, Some(field)) = (verdict, edge.cuttable()) {
                cuts.entry(edge.to).or_default().insert(field);
            }
        }
        let mut nodes = Vec::with_capacity(drafts.len() + cuts.len());
        let mut completions = Vec::with_capacity(cuts.len());
        let mut completed_by: BTreeMap<usize, usize> = BTreeMap::new();
        let drafts_len = drafts.len();
        for (place, draft) in drafts.into_iter().enumerate() {
            let planned = match cuts.get(&place) {
                None => draft.planned,
                Some(fields) => {
                    let (first, completion) = cut::parts(draft, fields);
                    completed_by.insert(place, drafts_len + completions.len());
                    let mut node = Node::new(completion, place);
                    node.after.insert(place);
                    completions.push(node);
                    first
                }
            };
            nodes.push(Node::new(planned, place));
        }
        nodes.append(&mut completions);
        for (edge, verdict) in decided {
            let to = match verdict {
                Verdict::Kept | Verdict::Dropped => edge.to,
                Verdict::Cut => completed_by.get(&edge.to).copied().unwrap_or(edge.to),
            };
            if let Some(node) = nodes.get_mut(to) {
                let needed = match verdict {
                    Verdict::Kept | Verdict::Cut => &mut node.after,
                    Verdict::Dropped => &mut node.with,
                };
                needed.insert(edge.from);
            }
        }
        let waits: Vec<(usize, usize)> = nodes
            .iter()
            .enumerate()
            .flat_map(|(to, node)| node.after.iter().map(move |from| (*from, to)))
            .collect();
        for (from, to) in waits {
            if let Some(node) = nodes.get_mut(from) {
                node.before.push(to);
            }
        }
        Graph { nodes }
    }

    fn arranged(self) -> Arranged {
        let order = self.order();
        let mut places = vec![0; self.nodes.len()];
        for (position, number) in order.iter().enumerate() {
            if let Some(place) = places.get_mut(*number) {
                *place = position;
            }
        }
        let mut nodes: Vec<Option<Node>> = self.nodes.into_iter().map(Some).collect();
        let mut arranged = Arranged::default();
        for number in order {
            let Some(node) = nodes.get_mut(number).and_then(Option::take) else { continue };
            let needed = node.after.union(&node.with);
            let mut needs: Vec<usize> = needed.filter_map(|other| places.get(*other).copied()).collect();
            needs.sort_unstable();
            arranged.needs.push(needs);
            arranged.operations.push(node.planned);
        }
        arranged
    }

    /// The nodes' numbers, those that are ready by their turn.
    fn order(&self) -> Vec<usize> {
        let mut waits_for: Vec<usize> = self.nodes.iter().map(|node| node.after.len()).collect();
        let mut ready: BinaryHeap<Reverse<(Turn, usize)>> = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.after.is_empty())
            .map(|(number, node)| Reverse((node.turn, number)))
            .collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse((_, number))) = ready.pop() {
            order.push(number);
            let before = self.nodes.get(number).map_or(&[][..], |node| &node.before);
            for next in before {
                if let (Some(count), Some(node)) = (waits_for.get_mut(*next), self.nodes.get(*next)) {
                    *count -= 1;
                    if *count == 0 {
                        ready.push(Reverse((node.turn, *next)));
                    }
                }
            }
        }
        debug_assert_eq!(order.len(), self.nodes.len(), "a circle was left closed");
        order
    }
}

impl Node {
    fn new(planned: Planned, place: usize) -> Self {
        let turn = (rank_of(&planned), place);
        Node { planned, turn, after: BTreeSet::new(), with: BTreeSet::new(), before: Vec::new() }
    }
}
