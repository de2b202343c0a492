//! Reading a step's `args`: every mistake is collected, none is guessed around.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::units::{parse_duration, parse_rate, parse_size};
use crate::base::{HostName, Json, StepId};
use crate::diagnostic::Diagnostic;
use crate::plan::step::handle_from_json;

/// The arguments of one step while they are read.
pub struct Options<'a> {
    args: &'a Json,
    wrong: Vec<Diagnostic>,
}

impl<'a> Options<'a> {
    pub fn new(args: &'a Json) -> Options<'a> {
        Options { args, wrong: Vec::new() }
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, "a text", |value| value.as_str().map(str::to_owned))
    }

    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.read(name, "`true` or `false`", Json::as_bool)
    }

    pub fn int(&mut self, name: &str) -> Option<u32> {
        self.read(name, "a whole number", |value| value.as_u64()?.try_into().ok())
    }

    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.read(name, "a list of texts", |value| {
            let items = value.as_array()?.iter();
            items.map(|item| item.as_str().map(str::to_owned)).collect()
        })
    }

    /// A map of texts.
    pub fn text_map(&mut self, name: &str) -> Option<BTreeMap<String, String>> {
        self.read(name, "a map of texts", |value| {
            let all = value.as_object()?.iter();
            all.map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        })
    }

    pub fn duration(&mut self, name: &str) -> Option<Duration> {
        self.read(name, "a duration", |value| parse_duration(value.as_str()?).ok())
    }

    pub fn host(&mut self, name: &str) -> Option<HostName> {
        self.read(name, "a host's name", |value| HostName::new(value.as_str()?).ok())
    }

    /// Bytes.
    pub fn size(&mut self, name: &str) -> Option<u64> {
        self.read(name, "a size", |value| parse_size(value.as_str()?).ok())
    }

    /// Bytes per second.
    pub fn rate(&mut self, name: &str) -> Option<u64> {
        self.read(name, "a rate", |value| parse_rate(value.as_str()?).ok())
    }

    /// Whether a handle was passed; its outputs come at run time.
    pub fn handle(&mut self, name: &str) -> bool {
        self.read(name, "a handle", |value| handle_from_json(value).map(drop)).is_some()
    }

    /// The step whose handle was passed.
    pub fn handle_of(&mut self, name: &str) -> Option<StepId> {
        self.read(name, "a handle", |value| StepId::new(handle_from_json(value)?).ok())
    }

    /// Options that contradict each other.
    pub fn refuse(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.wrong.push(Diagnostic::error("H190", message).help(help));
    }

    /// What was read, unless something was wrong.
    pub fn finish<T>(self, read: T) -> Result<T, Vec<Diagnostic>> {
        if self.wrong.is_empty() { Ok(read) } else { Err(self.wrong) }
    }

    fn read<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Json) -> Option<T>,
    ) -> Option<T> {
        let value = self.args.get(name)?;
        let read = read(value);
        if read.is_none() {
            self.refuse(format!("`{name}` is `{value}`"), format!("it takes {expected}"));
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_collected_and_absence_is_none() {
        let args = serde_json::json!({ "every": "soon", "cpus": "two", "host": "hv-01" });
        let mut options = Options::new(&args);
        assert_eq!(options.text("host").as_deref(), Some("hv-01"));
        assert_eq!(options.text("absent"), None);
        assert_eq!((options.duration("every"), options.int("cpus")), (None, None));
        assert_eq!(options.finish(()).unwrap_err().len(), 2);
    }
}
