//! How many stoves there are.

use super::round::Stove;

/// What makes the stoves that there are the stoves that there should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Installation {
    /// Stoves to put in.
    pub(crate) added: Vec<i64>,
    /// Stoves to take out, once nothing is on them.
    pub(crate) retired: Vec<i64>,
    /// Stoves that were to go, and stay.
    pub(crate) kept: Vec<i64>,
}

impl Installation {
    /// Decides what to do with `stoves` so that they are those from 1 to `wanted`.
    pub(crate) fn plan(stoves: &[Stove], wanted: u32) -> Self {
        let is_wanted = |number: i64| (1..=i64::from(wanted)).contains(&number);
        let is_missing = |number: &i64| !stoves.iter().any(|stove| stove.number == *number);
        let mut planned =
            Self { added: (1..=i64::from(wanted)).filter(is_missing).collect(), ..Self::default() };
        for stove in stoves {
            match (is_wanted(stove.number), stove.retiring) {
                (false, false) => planned.retired.push(stove.number),
                (true, true) => planned.kept.push(stove.number),
                (true, false) | (false, true) => {}
            }
        }
        planned
    }
}

#[cfg(test)]
mod tests {
    use super::{super::round::Stove, Installation};

    fn stove(number: i64, retiring: bool) -> Stove {
        Stove { number, retiring, dish: None }
    }

    #[test]
    fn stoves_come_go_and_stay() {
        let stoves = [stove(1, false), stove(2, true), stove(4, false), stove(5, true)];
        let planned = Installation::plan(&stoves, 3);
        assert_eq!(planned, Installation { added: vec![3], retired: vec![4], kept: vec![2] });
        assert_eq!(Installation::plan(&[stove(1, false)], 1), Installation::default());
    }
}
