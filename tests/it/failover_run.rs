//! The library's failover, run as people run it: home, to the cloud, and home again.

use crate::support::Ground;

#[test]
fn a_machine_goes_home_to_the_cloud_and_home_again_without_losing_a_write() {
    let ground = Ground::new();
    let home = ["run", "std/failback", "-p", "machine=db-01", "--approve", "all"];
    let away = ["run", "std/failover", "-p", "machine=db-01", "--approve", "all"];
    for (call, runs_on) in [(&home, "dc1"), (&away, "azure"), (&home, "dc1")] {
        ground.homing(call).exit(0);
        let db = &ground.verified()[0];
        assert_eq!(db["running_on"], runs_on, "{db}");
    }
}

#[test]
fn the_library_of_checks_says_what_it_asks() {
    let ground = Ground::new();
    ground.write(
        "ask.rhai",
        "import \"std/checks\" as checks;\nlet db = vm(\"db-01\");\nchecks::settled(db, \"100ms\");\n",
    );
    ground.homing(&["run", "ask.rhai"]).exit(0);
    ground.write(
        "ask.rhai",
        "import \"std/checks\" as checks;\nlet db = vm(\"db-01\");\nchecks::port(db, 443);\nchecks::web(db, \":8080/up\");\n",
    );
    let said = ground.homing(&["plan", "ask.rhai"]).exit(0);
    assert!(said.out.contains("port 443 answers") && said.out.contains(":8080/up"), "{said:?}");
}
