//! What a step was given.

use std::borrow::Cow;
use std::sync::Arc;

use crate::base::{Json, StepId};
use crate::plan::step::{handle_from_json, handle_to_json};

/// Positional arguments by name and options, defaults left out. A handle stands as `{"step": "<id>"}`.
#[derive(Clone, Debug)]
pub struct Args(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Data(Arc<Json>),
    /// Nothing but a handle, as every other step has: as data these would be the largest part of a plan.
    Handle(Arc<(&'static str, StepId)>),
}

impl Args {
    /// Nothing but the handle of `step`, as the argument `param`.
    pub fn handle(param: &'static str, step: StepId) -> Args {
        Args(Kept::Handle(Arc::new((param, step))))
    }

    /// All of them.
    pub fn json(&self) -> Cow<'_, Json> {
        match &self.0 {
            Kept::Data(json) => Cow::Borrowed(json),
            Kept::Handle(handle) => Cow::Owned(of_handle(handle)),
        }
    }

    /// All of them, to keep.
    pub fn shared(&self) -> Arc<Json> {
        match &self.0 {
            Kept::Data(json) => json.clone(),
            Kept::Handle(handle) => Arc::new(of_handle(handle)),
        }
    }

    /// All of them, unless there is nothing but a handle.
    pub fn data(&self) -> Option<&Json> {
        match &self.0 {
            Kept::Data(json) => Some(json),
            Kept::Handle(_) => None,
        }
    }

    /// One that is no handle.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.data()?.get(name).filter(|value| handle_from_json(value).is_none())
    }

    /// Those that are handles: their names, and the ids of the steps that are meant.
    pub fn handles(&self) -> impl Iterator<Item = (&str, &str)> {
        let (only, all) = match &self.0 {
            Kept::Data(json) => (None, json.as_object()),
            Kept::Handle(handle) => (Some((handle.0, handle.1.as_str())), None),
        };
        let all = all.into_iter().flatten();
        let all = all.filter_map(|(name, value)| Some((name.as_str(), handle_from_json(value)?)));
        only.into_iter().chain(all)
    }
}

fn of_handle((param, step): &(&'static str, StepId)) -> Json {
    Json::Object([((*param).to_owned(), handle_to_json(step))].into_iter().collect())
}

impl From<Json> for Args {
    fn from(json: Json) -> Args {
        Args(Kept::Data(Arc::new(json)))
    }
}

impl From<Arc<Json>> for Args {
    fn from(json: Arc<Json>) -> Args {
        Args(Kept::Data(json))
    }
}

impl PartialEq for Args {
    fn eq(&self, other: &Args) -> bool {
        self.json() == other.json()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_handle_reads_as_the_data_that_it_stands_for() {
        let lean = Args::handle("from", StepId::new("web-01.snapshot.1").unwrap());
        let data = Args::from(json!({ "from": { "step": "web-01.snapshot.1" } }));
        assert_eq!(lean, data);
        assert_eq!(lean.shared(), data.shared());
        for args in [lean, data] {
            assert_eq!(args.get("from"), None);
            assert_eq!(args.handles().collect::<Vec<_>>(), [("from", "web-01.snapshot.1")]);
        }
        let more = Args::from(json!({ "from": { "step": "a" }, "mode": "full" }));
        assert_eq!(more.get("mode"), Some(&json!("full")));
        assert_eq!(more.handles().count(), 1);
    }
}
