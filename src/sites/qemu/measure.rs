//! Measuring a practice machine: what its guest proved at its last boot of what it had acknowledged before.

use std::io::ErrorKind;

use crate::base::Side;
use crate::run::failure::Failure;
use crate::sites::files::failure;
use crate::sites::look;
use crate::sites::practice::LabMachine;
use crate::sites::qemu::guest::console::{self, Boot, Said};
use crate::sites::qemu::line::CONSOLE;
use crate::sites::qemu::seat::Seat;

/// The guest's clock is set from the hardware's, which counts whole seconds: two boots that follow each
/// other may seem to overlap by so much, seconds.
const CLOCK_ERROR_S: f64 = 1.0;

/// Measures one machine. The disks of a guest that runs are as it proved them at its boot, and what it wrote
/// since is acknowledged to nobody else; one that is off was not asked.
pub(super) fn measure(cloud: &Seat, home: &Seat) -> Result<LabMachine, Failure> {
    let (there, here) = (cloud.look()?, home.look()?);
    let seen = LabMachine::seen(&cloud.machine, &cloud.entry, &there, &here);
    let (of_cloud, of_home) = (said(cloud)?, said(home)?);
    let (live, other) = match look::active(&there, &here) {
        Side::Onprem => (&of_home, &of_cloud),
        Side::Cloud => (&of_cloud, &of_home),
    };
    let newest = |said: &Said| said.boots.iter().rev().find_map(|boot| boot.acks);
    let acknowledged = [live, other].into_iter().filter_map(newest).map(|acks| acks.last).max();
    let (lost, why) = verdict(live, other);
    Ok(LabMachine {
        acknowledged: acknowledged.unwrap_or(0),
        lost,
        why,
        downtime_s: downtime(&of_cloud, &of_home),
        overlap: seen.overlap || overlap(&of_cloud, &of_home),
        ..seen
    })
}

fn said(seat: &Seat) -> Result<Said, Failure> {
    let console = seat.folder(&seat.state()?).join(CONSOLE);
    match console::read(&console) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Said::default()),
        other => other.map_err(|error| failure(&error)),
    }
}

/// How many acknowledged records the last boot of the live side did not find; `None`: it has not said yet.
fn verdict(live: &Said, other: &Said) -> (Option<u64>, Option<String>) {
    let Some((boot, before)) = live.boots.split_last() else {
        return (None, Some("its guest has said nothing yet".to_owned()));
    };
    if boot.proved.is_none() {
        let why = boot.refuses.clone().unwrap_or_else(|| "its guest is still booting".to_owned());
        return (None, Some(why));
    }
    let before = Said { boots: before.to_vec() };
    let lost = console::lost(other, boot).max(console::lost(&before, boot));
    let told = |first: &String| format!("its guest found record {first}");
    (Some(lost), boot.first_bad.as_ref().map(told).or_else(|| boot.refuses.clone()))
}

/// From the last acknowledgement in the cloud to the first one at home after it, seconds.
fn downtime(cloud: &Said, home: &Said) -> Option<f64> {
    let gaps = home.boots.iter().filter_map(|boot| console::downtime_s(cloud, boot));
    gaps.filter(|gap| *gap > -CLOCK_ERROR_S).map(|gap| gap.max(0.0)).next()
}

/// Whether two boots on different sides acknowledged records in the same time.
fn overlap(cloud: &Said, home: &Said) -> bool {
    let cross = |a: &Boot, b: &Boot| match (a.acks, b.acks) {
        (Some(a), Some(b)) => {
            a.first_at_s + CLOCK_ERROR_S < b.last_at_s && b.first_at_s + CLOCK_ERROR_S < a.last_at_s
        }
        _ => false,
    };
    cloud.boots.iter().any(|a| home.boots.iter().any(|b| cross(a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Said {
        Said::read(text.as_bytes()).unwrap()
    }

    const CLOUD: &str = "\
        HOMING proved last=0 bad=0 boot=00000000000000aa uptime=4.22\n\
        HOMING ack 1 1000.00\n\
        HOMING ack 9 1009.00\n\
        HOMING off last=9\n";

    fn home(last: u64, bad: u64, at: &str) -> Said {
        of(&format!(
            "HOMING proved last={last} bad={bad} boot=00000000000000bb uptime=4.22\n\
             HOMING ack {} {at}.00\nHOMING ack {} {at}.50\n",
            last + 1,
            last + 2
        ))
    }

    #[test]
    fn what_the_next_side_does_not_prove_is_lost() {
        let cloud = of(CLOUD);
        assert_eq!(verdict(&home(9, 0, "1015"), &cloud), (Some(0), None));
        assert_eq!(verdict(&home(7, 0, "1015"), &cloud), (Some(2), None));
        assert_eq!(verdict(&home(9, 3, "1015"), &cloud).0, Some(3));
        assert_eq!(verdict(&Said::default(), &cloud).0, None, "nothing proved, nothing said");
        assert_eq!(verdict(&cloud, &Said::default()), (Some(0), None), "nothing went anywhere");
    }

    #[test]
    fn downtime_and_overlap_are_by_the_acknowledgements() {
        let cloud = of(CLOUD);
        assert_eq!(downtime(&cloud, &home(9, 0, "1015")), Some(6.0));
        assert!(!overlap(&cloud, &home(9, 0, "1015")));
        assert!(!overlap(&cloud, &home(9, 0, "1009")), "within the clock's error");
        assert!(overlap(&cloud, &home(5, 0, "1004")), "both wrote at once");
    }
}
