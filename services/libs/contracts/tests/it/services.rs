//! The table of programs agrees with itself and with the catalogue of events.

use std::collections::BTreeSet;

use contracts::{
    events::catalogue::CATALOGUE,
    services::{ALL, BOARD, BOOTSTRAP, HTTP_PORT, INVENTORY, KITCHEN, ORDERS, Program, TABLE},
};

#[test]
fn each_program_has_a_name_a_user_and_a_role_of_its_own() {
    assert_eq!(TABLE.iter().map(|one| one.name).collect::<BTreeSet<_>>().len(), TABLE.len());
    assert_eq!(TABLE.iter().map(|one| one.uid).collect::<BTreeSet<_>>().len(), TABLE.len());
    let roles: Vec<&str> = TABLE.iter().filter_map(|one| one.role).collect();
    assert_eq!(roles.iter().collect::<BTreeSet<_>>().len(), roles.len());
    for program in TABLE {
        assert_eq!(Program::named(program.name).unwrap().uid, program.uid);
        assert_eq!(program.is_service(), ALL.contains(&program.name));
        assert_eq!(program.is_service(), program.name != BOOTSTRAP);
        assert_eq!(program.is_service(), program.ports.contains(&HTTP_PORT), "{}", program.name);
    }
    assert!(Program::named("soup").is_none());
}

#[test]
fn calls_go_to_ports_at_which_another_service_answers() {
    for program in TABLE {
        let variables: BTreeSet<&str> = program.calls.iter().map(|call| call.variable).collect();
        assert_eq!(variables.len(), program.calls.len(), "{}", program.name);
        for call in program.calls {
            assert_ne!(call.to, program.name);
            let called = Program::named(call.to).unwrap();
            assert!(called.ports.contains(&call.port), "{} calls {}", program.name, call.to);
        }
    }
}

#[test]
fn only_services_that_read_or_write_events_use_the_bus() {
    let users: Vec<&str> = TABLE.iter().filter(|one| one.uses_bus()).map(|one| one.name).collect();
    assert_eq!(users, [ORDERS, KITCHEN, INVENTORY, BOARD]);
}

#[test]
fn what_programs_read_and_write_is_the_whole_catalogue() {
    let names = |entry: &'static contracts::events::catalogue::Entry| entry.name;
    let all: BTreeSet<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    let read: BTreeSet<&str> =
        TABLE.iter().flat_map(|program| program.reads().map(names).collect::<Vec<_>>()).collect();
    let written: Vec<&str> =
        TABLE.iter().flat_map(|program| program.writes().map(names).collect::<Vec<_>>()).collect();
    assert_eq!(read, all);
    assert_eq!(written.iter().copied().collect::<BTreeSet<_>>(), all);
    assert_eq!(written.len(), all.len(), "each has one writer");
}
