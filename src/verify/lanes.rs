//! The steps of a plan machine by machine: what is proved of one does not depend on the others, and the
//! states of one at a time are few.

use foldhash::{HashMap, HashMapExt};

use crate::base::MachineName;
use crate::plan::graph::Plan;
use crate::plan::step::StepIx;

/// Every machine with its steps, in the order written.
pub(super) struct Lanes<'a> {
    places: HashMap<&'a MachineName, usize>,
    machines: Vec<&'a MachineName>,
    /// Lane after lane.
    steps: Vec<StepIx>,
    /// By machine: where its lane begins; the end comes last.
    begins: Vec<usize>,
}

impl<'a> Lanes<'a> {
    pub fn of(plan: &'a Plan) -> Lanes<'a> {
        let mut places: HashMap<&MachineName, usize> = HashMap::new();
        let mut machines: Vec<&MachineName> = Vec::new();
        let mut sizes: Vec<usize> = Vec::new();
        let mut last = 0;
        let mut own: Vec<(StepIx, u32)> = Vec::with_capacity(plan.steps.len());
        for (ix, step) in plan.iter() {
            let Some(machine) = &step.machine else { continue };
            if machines.get(last) != Some(&machine) {
                last = *places.entry(machine).or_insert_with(|| {
                    machines.push(machine);
                    sizes.push(0);
                    machines.len() - 1
                });
            }
            sizes[last] += 1;
            own.push((ix, u32::try_from(last).expect("BUG: a plan has fewer machines than steps")));
        }
        let mut begins = vec![0];
        begins.extend(sizes.iter().scan(0, |end, size| {
            *end += size;
            Some(*end)
        }));
        let mut next = begins.clone();
        let mut steps = vec![StepIx(0); own.len()];
        for (ix, lane) in own {
            let place = &mut next[lane as usize];
            steps[*place] = ix;
            *place += 1;
        }
        Lanes { places, machines, steps, begins }
    }

    /// Every machine with its steps.
    pub fn iter(&self) -> impl Iterator<Item = (&'a MachineName, &[StepIx])> {
        self.machines.iter().enumerate().map(|(at, machine)| (*machine, self.lane(at)))
    }

    /// The steps of one machine; none of a machine that the plan does not name.
    pub fn find(&self, machine: &MachineName) -> &[StepIx] {
        self.places.get(machine).map_or(&[], |at| self.lane(*at))
    }

    fn lane(&self, at: usize) -> &[StepIx] {
        &self.steps[self.begins[at]..self.begins[at + 1]]
    }
}
