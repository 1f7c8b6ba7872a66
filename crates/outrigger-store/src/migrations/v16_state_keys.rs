//! Keys count towards the size of a plugin's state (`STATE_KEY_BYTES`).

use super::Change;

const COUNTED: &str = "UPDATE plugins SET state_bytes = state_bytes + 128 * \
    (SELECT COUNT(*) FROM state WHERE state.plugin = plugins.name)";

pub(super) fn changes() -> Vec<Change> {
    vec![Change::Sql(COUNTED)]
}
