//! What reading a fact gives, and what was read so far, kept small: a large plan rests on very many.

use std::sync::Arc;

use foldhash::HashMap;

use crate::base::{Json, MachineName, SharedTexts};
use crate::plan::facts::MachineFacts;

/// The value of a machine's fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(u64),
    /// A text.
    Text(&'a str),
}

impl<'a> Value<'a> {
    pub(super) fn of(json: &'a Json) -> Option<Value<'a>> {
        match json {
            Json::Bool(value) => Some(Value::Bool(*value)),
            Json::Number(value) => value.as_u64().map(Value::Int),
            Json::String(value) => Some(Value::Text(value)),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(self) -> Option<&'a str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }
}

impl From<Value<'_>> for Json {
    fn from(value: Value<'_>) -> Json {
        match value {
            Value::Bool(value) => value.into(),
            Value::Int(value) => value.into(),
            Value::Text(value) => value.into(),
        }
    }
}

/// What was read of one subject.
#[derive(Debug)]
pub(super) struct Read {
    pub subject: Arc<str>,
    /// Its place among the machines that were observed, if it is one.
    pub observed: Option<usize>,
    /// Facts that stand in [`crate::plan::facts::FACTS`] as they are, one bit each.
    pub plain: u32,
    /// Facts with an argument and facts found out elsewhere, with their values as text.
    pub others: Vec<(Arc<str>, Arc<str>)>,
}

impl Read {
    /// Facts that have a bit.
    pub const PLAIN_MAX: usize = u32::BITS as usize;
}

/// Observed machines by name, each with a place.
pub(super) type Machines<'a> = [(&'a MachineName, &'a MachineFacts)];

/// What was read of every subject.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub all: Vec<Read>,
    places: HashMap<Arc<str>, usize>,
    /// The two asked for last, a machine and its host: most often they are asked for again.
    last: usize,
    before: usize,
    pub texts: SharedTexts,
}

impl Reads {
    pub fn of(&mut self, machines: &Machines<'_>, subject: &str) -> &mut Read {
        let is = |read: Option<&Read>| read.is_some_and(|read| *read.subject == *subject);
        if !is(self.all.get(self.last)) {
            let place = if is(self.all.get(self.before)) {
                self.before
            } else if let Some(place) = self.places.get(subject) {
                *place
            } else {
                self.begin(machines, subject)
            };
            (self.before, self.last) = (self.last, place);
        }
        &mut self.all[self.last]
    }

    fn begin(&mut self, machines: &Machines<'_>, subject: &str) -> usize {
        let observed = machines.binary_search_by(|(name, _)| name.as_str().cmp(subject)).ok();
        let subject = Arc::<str>::from(subject);
        self.places.insert(subject.clone(), self.all.len());
        self.all.push(Read { subject, observed, plain: 0, others: Vec::new() });
        self.all.len() - 1
    }

    /// Remembers what was just read of the subject asked for last; what is known keeps its value.
    pub fn record(&mut self, fact: &str, value: impl FnOnce() -> Json) {
        let read = &mut self.all[self.last];
        if !read.others.iter().any(|(known, _)| **known == *fact) {
            read.others.push((self.texts.share(fact), self.texts.share_value(&value())));
        }
    }
}
