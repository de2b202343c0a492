//! Who makes attempts: this process, for now. A remote engine replaces only this and the driver.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::base::{Json, StepKey};
use crate::execute::context::{Context, Line, Sites};
use crate::execute::inject::Injection;
use crate::plan::inventory::Inventory;
use crate::primitives;
use crate::run::failure::Failure;
use crate::schedule::Order;

/// An attempt under way.
pub type Attempt = Pin<Box<dyn Future<Output = Result<Json, Failure>> + Send>>;

/// Makes attempts.
pub trait Workers: Send + Sync {
    /// Makes one attempt; it ends by itself or, asked over its line, at its next safe point.
    fn run(&self, order: Order, line: Line) -> Attempt;
}

/// Attempts as tasks of this process.
pub struct LocalWorkers {
    /// The inventory.
    pub inventory: Arc<Inventory>,
    /// The sites.
    pub sites: Sites,
    /// Faults on demand.
    pub injections: Arc<[Injection]>,
}

impl Workers for LocalWorkers {
    fn run(&self, order: Order, line: Line) -> Attempt {
        let (inventory, sites) = (self.inventory.clone(), self.sites.clone());
        let injections = self.injections.clone();
        Box::pin(async move {
            for injection in injections.iter() {
                injection.strike(&order, &line.cancelled).await?;
            }
            let Some(primitive) = primitives::find(&order.primitive) else {
                let what = format!("this homing knows no `{}`", order.primitive);
                return Err(Failure::permanent(what).help("resume with the homing that planned it"));
            };
            let key = StepKey::of(&order.run, &order.step);
            let args = order.args.clone();
            let context = Context { order, key, line, inventory, sites };
            primitive.run(&args, &context).await
        })
    }
}
