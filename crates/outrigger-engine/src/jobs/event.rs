//! The event of a job's state change. It is written to the log in the transaction that writes the job.

use serde_json::json;

use super::JobRecord;
use crate::engine::Engine;
use crate::events::NewEvent;

/// The event that says where a job stands. Arguments, results and messages are left out: they may be secret, and the job
/// has them.
pub(super) fn of(job: &JobRecord) -> NewEvent {
    let function = &job.task.function;
    let payload = json!({
        "job": job.id.to_string(),
        "function": function,
        "state": job.state.as_str(),
        "attempt": job.attempt,
        "caller": job.owner.name,
        "schedule": job.schedule,
        "code": job.error.as_ref().map(|error| error.code),
    });
    let name = format!("job.{}", job.state).parse().expect("the states are words");
    NewEvent { correlation: job.id, plugin: Some(function.plugin.clone()), ..NewEvent::now(name, payload) }
}

impl Engine {
    /// An event of a job was written.
    pub(super) fn told_of_job(&self, event: Option<NewEvent>) {
        if let Some(event) = event {
            self.inner.events.appended(&event);
            self.tell_subscribers(event);
        }
    }
}
