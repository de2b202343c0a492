//! Faults on demand: `--inject web-01.transfer=fail:2`, for rehearsals in a lab.

use std::str::FromStr;

use tokio_util::sync::CancellationToken;

use crate::base::{MachineName, StepId};
use crate::run::failure::Failure;
use crate::schedule::Order;

/// A text that is no fault to inject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no fault: write STEP=fail:2, STEP=permanent, STEP=stall or STEP=kill, where STEP is a \
     step's id or MACHINE.PRIMITIVE"
)]
pub struct InvalidInjection(String);

/// A fault for the attempts of some steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// A step's id, or `machine.primitive`.
    target: String,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The first attempts fail as if contact were lost.
    Fail { attempts: u32 },
    /// Every attempt fails for good.
    Permanent,
    /// Every attempt stands still until it is stopped.
    Stall,
    /// The whole process dies at the start of this attempt, like `kill -9`.
    Kill { attempt: u32 },
}

impl FromStr for Injection {
    type Err = InvalidInjection;

    fn from_str(text: &str) -> Result<Injection, InvalidInjection> {
        let invalid = || InvalidInjection(text.to_owned());
        let (target, fault) = text.split_once('=').ok_or_else(invalid)?;
        let (word, number) = match fault.split_once(':') {
            Some((word, number)) => {
                (word, Some(number.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(invalid)?))
            }
            None => (fault, None),
        };
        let fault = match (word, number) {
            ("fail", attempts) => Fault::Fail { attempts: attempts.unwrap_or(1) },
            ("kill", attempt) => Fault::Kill { attempt: attempt.unwrap_or(1) },
            ("permanent", None) => Fault::Permanent,
            ("stall", None) => Fault::Stall,
            _ => return Err(invalid()),
        };
        if target.is_empty() {
            return Err(invalid());
        }
        Ok(Injection { target: target.to_owned(), fault })
    }
}

impl Injection {
    /// Whether it is meant for that step.
    pub fn is_for(&self, step: &StepId, machine: Option<&MachineName>, primitive: &str) -> bool {
        let by_name = machine.is_some_and(|machine| {
            self.target.strip_prefix(machine.as_str()).and_then(|rest| rest.strip_prefix('.'))
                == Some(primitive)
        });
        by_name || self.target == step.as_str()
    }

    /// Does what it is there for, at the start of an attempt.
    ///
    /// # Errors
    /// The injected failure.
    pub async fn strike(
        &self,
        order: &Order,
        cancelled: &CancellationToken,
    ) -> Result<(), Failure> {
        if !self.is_for(&order.step, order.machine.as_ref(), &order.primitive) {
            return Ok(());
        }
        match self.fault {
            Fault::Fail { attempts } if order.attempt <= attempts => {
                Err(Failure::transient("injected: contact lost"))
            }
            Fault::Permanent => Err(Failure::permanent("injected: it cannot work")),
            Fault::Stall => {
                cancelled.cancelled().await;
                Err(Failure::cancelled())
            }
            Fault::Kill { attempt } if order.attempt == attempt => die().await,
            Fault::Fail { .. } | Fault::Kill { .. } => Ok(()),
        }
    }
}

/// As nobody can catch it: nothing is flushed, nothing is said.
async fn die() -> Result<(), Failure> {
    let own = rustix::process::getpid();
    let sent = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    sent.map_err(|error| Failure::permanent(format!("injected kill: {error}")))?;
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_or_refused() {
        for good in ["web-01.copy=fail:2", "cutover=permanent", "a.b.1=stall", "a.b=kill"] {
            assert!(good.parse::<Injection>().is_ok(), "{good}");
        }
        for bad in ["", "a.b", "=fail", "a=fail:0", "a=fail:x", "a=explode", "a=stall:2"] {
            assert!(bad.parse::<Injection>().is_err(), "{bad}");
        }
    }

    fn order(attempt: u32) -> Order {
        Order {
            run: crate::base::RunId::new("r1").unwrap(),
            step: StepId::new("web-01.copy.2").unwrap(),
            epoch: 1,
            attempt,
            primitive: "copy".into(),
            machine: Some(MachineName::new("web-01").unwrap()),
            args: std::sync::Arc::default(),
            inputs: std::collections::BTreeMap::new(),
            outputs: std::collections::BTreeMap::new(),
            deadline: None,
            time_limit_ms: None,
            cursor: None,
            intended: None,
            tokens: std::collections::BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn faults_hit_the_steps_they_name_and_no_others() {
        let free = CancellationToken::new();
        let strike = async |text: &str, attempt: u32| {
            let injection: Injection = text.parse().unwrap();
            injection.strike(&order(attempt), &free).await.map_err(|failure| failure.may_retry())
        };
        assert_eq!(strike("web-01.copy=fail:2", 2).await, Err(true));
        assert_eq!(strike("web-01.copy=fail:2", 3).await, Ok(()));
        assert_eq!(strike("web-01.copy.2=permanent", 9).await, Err(false));
        for other in ["web-01.copy.1=permanent", "web-0.copy=permanent", "web-01=permanent"] {
            assert_eq!(strike(other, 1).await, Ok(()), "{other}");
        }
        free.cancel();
        assert_eq!(strike("web-01.copy=stall", 1).await, Err(false), "it ended when it was asked");
    }
}
