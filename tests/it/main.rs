//! One binary for all integration tests: they run real processes.

mod lab;
