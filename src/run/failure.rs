//! Why an attempt did not succeed, modelled to the full.

use serde::{Deserialize, Serialize};

/// What the engine may do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It may pass: try again after the policy's wait.
    Transient,
    /// The site asked for patience: try again, but not before it said.
    Throttled {
        /// Seconds the site asked for.
        retry_after_s: u32,
    },
    /// Trying again will not help.
    Permanent,
    /// A safety check said no: trying again must not help.
    Refused,
    /// The attempt took too long, or stood still too long. Retried.
    TimedOut,
    /// The run was asked to stop and the attempt reached a safe point. Not counted as a try.
    Cancelled,
}

/// An attempt that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What the engine may do about it.
    pub class: Class,
    /// An `H3xx` code when a safety check refused.
    pub code: Option<String>,
    /// What happened, for a person.
    pub message: String,
    /// What to do next, when it is known.
    pub help: Option<String>,
}

impl Failure {
    /// It may pass.
    pub fn transient(message: impl Into<String>) -> Failure {
        Failure::of(Class::Transient, message.into())
    }

    /// Trying again will not help.
    pub fn permanent(message: impl Into<String>) -> Failure {
        Failure::of(Class::Permanent, message.into())
    }

    /// A safety check said no; `code` is an `H3xx` of the registry.
    pub fn refused(code: &'static str, message: impl Into<String>) -> Failure {
        debug_assert!(
            crate::diagnostic::codes::find(code).is_some(),
            "BUG: {code} is not in the registry"
        );
        Failure { code: Some(code.to_owned()), ..Failure::of(Class::Refused, message.into()) }
    }

    /// The site asked for patience.
    pub fn throttled(message: impl Into<String>, retry_after_s: u32) -> Failure {
        Failure::of(Class::Throttled { retry_after_s }, message.into())
    }

    /// It took too long.
    pub fn timed_out(message: impl Into<String>) -> Failure {
        Failure::of(Class::TimedOut, message.into())
    }

    /// It stopped because it was asked to.
    pub fn cancelled() -> Failure {
        Failure::of(Class::Cancelled, "stopped at a safe point".to_owned())
    }

    fn of(class: Class, message: String) -> Failure {
        Failure { class, code: None, message, help: None }
    }

    /// The same, with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }

    /// Whether nobody answered: what was asked may be gone, or the line to it.
    pub fn is_silence(&self) -> bool {
        matches!(self.class, Class::Transient | Class::TimedOut)
    }

    /// Whether another attempt may succeed.
    pub fn may_retry(&self) -> bool {
        matches!(self.class, Class::Transient | Class::Throttled { .. } | Class::TimedOut)
    }
}
