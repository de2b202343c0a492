//! The ids of steps: which are taken, and what the next one is called.

use foldhash::HashSet;

use crate::base::{MachineName, StepId};

/// How many steps of each primitive there are; few primitives, so a list.
type Counters = Vec<(&'static str, u32)>;

/// All ids of a plan.
pub(super) struct Ids {
    /// All but the numbered ones, which are unique by themselves.
    taken: HashSet<StepId>,
    /// By the machine's place.
    counters: Vec<Counters>,
    counters_of_none: Counters,
    /// Room for the id being made.
    text: String,
}

impl Ids {
    /// Nothing written yet.
    pub(super) fn new(machines: usize) -> Ids {
        Ids {
            taken: HashSet::default(),
            counters: vec![Vec::new(); machines],
            counters_of_none: Vec::new(),
            text: String::new(),
        }
    }

    /// The next id of a primitive on a machine: `web-01.snapshot.2`.
    pub(super) fn next(
        &mut self,
        machine: Option<(u32, &MachineName)>,
        primitive: &'static str,
    ) -> &str {
        self.text.clear();
        let counters = match machine {
            Some((place, name)) => {
                self.text.push_str(name.as_str());
                self.text.push('.');
                &mut self.counters[place as usize]
            }
            None => &mut self.counters_of_none,
        };
        // The very text of the table, so its address tells.
        let at = counters.iter().position(|(name, _)| std::ptr::eq(*name, primitive));
        let at = at.unwrap_or_else(|| {
            counters.push((primitive, 0));
            counters.len() - 1
        });
        counters[at].1 += 1;
        self.text.push_str(primitive);
        self.text.push('.');
        self.text.push_str(&counters[at].1.to_string());
        &self.text
    }

    /// Whether an id is used already.
    pub(super) fn has(&self, id: &StepId) -> bool {
        !is_numbered(id) && self.taken.contains(id)
    }

    /// A step has it from now on.
    pub(super) fn take(&mut self, id: &StepId) {
        if !is_numbered(id) {
            self.taken.insert(id.clone());
        }
    }
}

/// `machine.primitive.n`: chosen names hold no dot, and what is called after another id ends in a word.
fn is_numbered(id: &StepId) -> bool {
    let mut parts = id.as_str().rsplit('.');
    let ends_in_number = parts.next().is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    ends_in_number && parts.count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_counted_on_a_machine_needs_no_set() {
        let mut ids = Ids::new(1);
        let machine = MachineName::new("web-01").unwrap();
        let id = |text: &str| StepId::new(text).unwrap();
        for wanted in ["web-01.check.1", "web-01.check.2"] {
            assert_eq!(ids.next(Some((0, &machine)), "check"), wanted);
        }
        assert_eq!(ids.next(None, "check"), "check.1");
        for text in ["go", "web-01.mine", "check.1", "web-01.mine.undo", "web-01.check.1.undo"] {
            assert!(!ids.has(&id(text)));
            ids.take(&id(text));
            assert!(ids.has(&id(text)), "{text}");
        }
        ids.take(&id("web-01.check.1"));
        assert!(!ids.has(&id("web-01.check.1")));
    }
}
