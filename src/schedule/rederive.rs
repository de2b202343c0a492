//! A run's outcomes, derived anew from its events: what an audit asks, and what a rehearsal is judged by.

use crate::plan::graph::Plan;
use crate::run::event::{Event, EventBody};
use crate::run::state::RunState;
use crate::schedule::outcome::may_end;

/// Derives every outcome anew from the events before it; what does not follow is a finding.
pub fn rederived(plan: &Plan, events: &[Event]) -> (RunState, Vec<String>) {
    let mut state = RunState::new(plan);
    let mut findings = Vec::new();
    let mut before: Option<&EventBody> = None;
    for event in events {
        if let EventBody::RunEnded { outcome } = &event.body {
            // A process that a site kept from its machines leaves at once.
            let kept_out = matches!(before, Some(EventBody::RunResumed { .. }));
            if !kept_out && !may_end(plan, &state, *outcome) {
                let seq = event.seq;
                findings.push(format!(
                    "event {seq} says that the run {outcome}: the events before it say otherwise"
                ));
            }
        }
        if let Err(illegal) = state.apply(event) {
            findings.push(illegal.to_string());
            break;
        }
        before = Some(&event.body);
    }
    (state, findings)
}
