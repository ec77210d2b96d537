//! Where a circle of edges is opened, so that an order exists. Only decides; carries nothing out.
//!
//! The graph is walked backwards, always to the lowest operation that is still waited for. An edge that
//! leads back to the path closes a circle, and of that circle the edge that is worth least is given up:
//!
//! | worth least in the circle | what becomes of it |
//! |---|---|
//! | an edge that may not be one | dropped |
//! | a reference that may be absent, first those that a delete sets to null | cut: written later, by an operation of its own |
//! | anything else: every edge is needed and no order is valid | dropped |
//!
//! Among equals it is the one whose waiting operation has the lowest place. Invariant: every edge that is
//! given up was the weakest of a circle of edges that were all kept until then, and what is kept has no
//! circle. The cost is that of one walk, plus the length of every circle that is opened.

use super::edges::Edge;

/// What becomes of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It decides the order.
    Kept,
    /// It holds for the later operation that sets the field which was left out.
    Cut,
    /// It does not decide the order.
    Dropped,
}

/// What becomes of each edge, among operations of the places below `places`.
pub(super) fn verdicts(places: usize, edges: &[Edge<'_>]) -> Vec<Verdict> {
    let mut nodes: Vec<Node> = Vec::new();
    nodes.resize_with(places, Node::default);
    for (number, edge) in edges.iter().enumerate() {
        if let Some(node) = nodes.get_mut(edge.to) {
            node.incoming.push(number);
        }
    }
    for node in &mut nodes {
        node.incoming.sort_by_key(|number| edges.get(*number).map(|edge| edge.from));
    }
    let mut walk = Walk { edges, nodes, path: Vec::new(), verdicts: vec![Verdict::Kept; edges.len()] };
    for place in 0..places {
        walk.from(place);
    }
    walk.verdicts
}

#[derive(Default)]
struct Node {
    /// The edges that lead here, those from the lowest place first.
    incoming: Vec<usize>,
    /// How many of them need no more looking at.
    finished: usize,
    mark: Mark,
}

#[derive(Clone, Copy, Default)]
enum Mark {
    #[default]
    Unseen,
    OnPath {
        height: usize,
    },
    Done,
}

/// A node on the path, and the edge by which it was come to: from it to the one before.
struct Step {
    place: usize,
    by: Option<usize>,
}

struct Walk<'a, 's> {
    edges: &'a [Edge<'s>],
    nodes: Vec<Node>,
    path: Vec<Step>,
    verdicts: Vec<Verdict>,
}

/// What the walk does next.
enum Next {
    Forward { by: usize, to: usize },
    Circle { by: usize, height: usize },
    Back,
}

impl Walk<'_, '_> {
    fn from(&mut self, place: usize) {
        if matches!(self.nodes.get(place).map(|node| node.mark), Some(Mark::Unseen)) {
            self.step(place, None);
        }
        while let Some(place) = self.path.last().map(|step| step.place) {
            match self.next(place) {
                Next::Forward { by, to } => self.step(to, Some(by)),
                Next::Circle { by, height } => self.open(by, height),
                Next::Back => {
                    self.path.pop();
                    self.mark(place, Mark::Done);
                }
            }
        }
    }

    fn step(&mut self, place: usize, by: Option<usize>) {
        self.mark(place, Mark::OnPath { height: self.path.len() });
        self.path.push(Step { place, by });
    }

    fn mark(&mut self, place: usize, mark: Mark) {
        if let Some(node) = self.nodes.get_mut(place) {
            node.mark = mark;
        }
    }

    /// Where the walk goes from here; passes over what is given up or leads to what is done.
    fn next(&mut self, place: usize) -> Next {
        while let Some(node) = self.nodes.get(place)
            && let Some(number) = node.incoming.get(node.finished).copied()
        {
            let is_kept = self.verdicts.get(number) == Some(&Verdict::Kept);
            let from = self.edges.get(number).filter(|_| is_kept).map(|edge| edge.from);
            match from.and_then(|from| self.nodes.get(from).map(|node| (from, node.mark))) {
                Some((to, Mark::Unseen)) => return Next::Forward { by: number, to },
                Some((_, Mark::OnPath { height })) => return Next::Circle { by: number, height },
                Some((_, Mark::Done)) | None => {}
            }
            if let Some(node) = self.nodes.get_mut(place) {
                node.finished += 1;
            }
        }
        Next::Back
    }

    /// Gives up the weakest edge of the circle that this edge closes with the path above a height.
    fn open(&mut self, closing: usize, height: usize) {
        let above = self.path.iter().skip(height.saturating_add(1)).filter_map(|step| step.by);
        let circle = above.chain([closing]).filter_map(|number| {
            let edge = self.edges.get(number)?;
            Some(((edge.worth(), edge.to, number), *edge))
        });
        let Some(((_, _, number), edge)) = circle.min_by_key(|(order, _)| *order) else {
            return;
        };
        match edge.cuttable() {
            Some(field) => self.cut(edge.to, field),
            None => self.give(number, Verdict::Dropped),
        }
        self.back_to(edge.to);
    }

    /// Everything that an operation waits for on account of a field now is waited for by another.
    fn cut(&mut self, place: usize, field: &str) {
        let incoming = self.nodes.get(place).map(|node| node.incoming.clone()).unwrap_or_default();
        for number in incoming {
            if self.edges.get(number).is_some_and(|edge| edge.concerns(field)) {
                self.give(number, Verdict::Cut);
            }
        }
    }

    fn give(&mut self, number: usize, verdict: Verdict) {
        if let Some(place) = self.verdicts.get_mut(number) {
            *place = verdict;
        }
    }

    /// Takes what was come to after an operation off the path; what is done stays done.
    fn back_to(&mut self, place: usize) {
        while let Some(step) = self.path.pop_if(|step| step.place != place) {
            self.mark(step.place, Mark::Unseen);
        }
    }
}
