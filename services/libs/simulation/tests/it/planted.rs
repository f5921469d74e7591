//! Faults can be planted in the sources as they are today; `simulation --planted` builds and looks for them.

use simulation::planted::plant;

#[test]
fn every_fault_has_its_place_in_the_sources() {
    plant().unwrap();
}
