//! What the binary says without a node. (That this file exists also makes `cargo test` build the binary that the end-to-end
//! tests drive, with the same features as everything else.)

use std::process::{Command, Output};

fn lakehead(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lakehead")).args(arguments).output().expect("the binary starts")
}

#[test]
fn every_error_code_has_a_help_page() {
    let listed = String::from_utf8(lakehead(&["explain"]).stdout).expect("text");
    let codes: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(codes.len() > 50, "{listed}");
    for code in codes {
        let page = lakehead(&["explain", code]);
        assert!(page.status.success() && page.stdout.len() > 150, "{code}");
    }
}

#[test]
fn a_node_that_is_not_up_is_told_of_with_the_next_step() {
    let failed = lakehead(&["sql", "--http", "127.0.0.1:1", "SELECT 1"]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1));
    assert!(said.contains("127.0.0.1:1") && said.contains("lakehead up"), "{said}");
}

#[test]
fn wrong_use_exits_with_two() {
    assert_eq!(lakehead(&["sql", "--no-such-flag"]).status.code(), Some(2));
}
