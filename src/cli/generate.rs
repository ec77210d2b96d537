//! `generate`: a workload as lines.

use serde_json::json;

use super::args::GenerateArgs;
use super::failure::Failure;
use super::fold::object;
use super::output::Output;
use super::progress::Progress;
use super::words;
use crate::workload::Workload;

pub(super) fn generate(args: &GenerateArgs, output: &mut Output) -> Result<(), Failure> {
    if args.creates == 0 && args.updates == 0 && args.patches == 0 && args.deletes == 0 {
        return Err(Failure::Usage("every share is 0; give one of the kinds a share".to_owned()));
    }
    let workload = Workload {
        seed: args.seed,
        operations: args.operations,
        entities: args.entities,
        skew: args.skew,
        creates: args.creates,
        updates: args.updates,
        patches: args.patches,
        deletes: args.deletes,
        payload_bytes: usize::try_from(args.payload_bytes).unwrap_or(usize::MAX),
        collection: args.collection.clone(),
    };
    let operations = workload.iter().map_err(|error| Failure::Usage(error.to_string()))?;
    Progress::new("making operations").over(operations).try_for_each(|operation| output.line(&operation))?;
    let said = format!("made {} from seed {}", words::operations(args.operations), args.seed);
    output.summary(true, &said, || object(json!({"operations": args.operations, "seed": args.seed})))
}
