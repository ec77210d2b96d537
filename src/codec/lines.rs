//! temporary
use crate::algebra::*;
pub(crate) fn planned_bytes(p: &Planned) -> usize {
    p.operation.change.fields_json().len() + 100
}
pub(crate) fn bunch(number: BunchNumber, operations: Vec<Planned>) -> Bunch {
    let mut b = Bunch { number, id: Digest([0; 32]), operations };
    b.id = Digest(*blake3::hash(bunch_text(&b).as_bytes()).as_bytes());
    b
}
pub(crate) fn bunch_text(b: &Bunch) -> String {
    format!("{:?}", b.operations)
}
pub(crate) fn parse_bunch_text(_t: &str) -> Result<Bunch, std::fmt::Error> {
    Err(std::fmt::Error)
}
