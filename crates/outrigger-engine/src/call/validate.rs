//! The arguments become values of the parameters' types, or the call ends with all that does not fit.

use std::sync::Arc;

use outrigger_contract::Value;
use outrigger_contract::types::json;

use super::{Arguments, Target};
use crate::error::Failure;

pub(super) fn arguments(target: &Target, arguments: Arguments) -> Result<Arc<[Value]>, Failure> {
    let (graph, function) = (&*target.revision.graph, target.function());
    let values = match arguments {
        Arguments::Text(text) => json::parse_arguments_text(graph, function, &text),
        Arguments::Json(members) => json::parse_arguments(graph, function, members),
        Arguments::Values(values) => json::check_arguments(graph, function, &values).map(|()| values),
    };
    values.map(Arc::from).map_err(|faults| Failure::invalid_input(&target.name, &faults))
}
