//! The simulation over a bounded number of seeds: that nothing fails, that everything is met, that a seed repeats itself,
//! and that faults can be planted.

mod planted;
mod seeds;
