//! What happens in the run of a seed: a pure function of the seed. Each seed leaves out some kinds of faults, so that each
//! is also met without the others (swarm testing).

use crate::machine;

/// A sequence of draws.
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// Begins a sequence.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws a number below `bound`; 0 if that is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        machine::next(&mut self.0) % if bound == 0 { 1 } else { bound }
    }

    /// Draws whether something of this share, in 1/1,000, happens.
    pub const fn happens(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// Draws one of several.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// How a life of the environment ends before the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At this step the process is killed: what is in the files is what is left.
    Kill(u64),
    /// It is closed when its load is done.
    Close,
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How each life but the last ends.
    pub ends: Vec<End>,
    /// How many commits in 1,000 fail.
    pub commits_fail: u64,
    /// How many commits in 1,000 succeed although the writer is told that it can't be known.
    pub commits_unknown: u64,
    /// Whether each event is delivered twice.
    pub twice: bool,
    /// Whether events of different subjects change places.
    pub shuffle: bool,
    /// How many calls of the market in 1,000 go wrong, each kind.
    pub market_trouble: u64,
    /// Whether the market closes for some time.
    pub outages: bool,
    /// Whether the wall clock jumps.
    pub jumps: bool,
    /// Whether a service can't act on some events for a life, so that they become dead letters.
    pub poison: bool,
    /// Whether events are kept for seconds instead of a week.
    pub forgets: bool,
    /// How many stoves there are.
    pub stoves: u32,
    /// How long every dish cooks, in milliseconds; by its recipe if there is none.
    pub cooking_ms: Option<u64>,
    /// How many clients send requests.
    pub clients: u64,
    /// How many requests each client sends in a life.
    pub requests: u64,
    /// How much of each ingredient there is at the opening.
    pub opening: u64,
    /// Whether the disk of one service after another is full for some time.
    pub full_disks: bool,
    /// Whether two replicas contend for a lease.
    pub replicas: bool,
}

impl Plan {
    /// Makes the plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut draws = Draws::new(seed ^ 0x5eed_5eed_5eed_5eed);
        let draws = &mut draws;
        let forgets = draws.happens(400);
        // What is removed too early is missed only if the process ends once more before its readers have it: so the second life
        // and later ones are short.
        let lives = if forgets { 2 + draws.below(4) } else { draws.below(5) };
        let ends = (0..lives)
            .map(|life| match draws.happens(850) {
                // Half of the kills come while services open or soon after, many of them before they have made up for the
                // life before.
                true => {
                    let within = match forgets && life > 0 {
                        true => 110,
                        false => draws.one(&[60, 160, 160, 300, 900, 2_500]),
                    };
                    End::Kill(8 + draws.below(within))
                }
                false => End::Close,
            })
            .collect();
        Self {
            seed,
            ends,
            commits_fail: draws.one(&[0, 10, 60]),
            commits_unknown: draws.one(&[0, 10, 60]),
            twice: draws.happens(500),
            shuffle: draws.happens(500),
            market_trouble: draws.one(&[0, 30, 100]),
            outages: draws.happens(400),
            jumps: draws.happens(400),
            poison: draws.happens(350),
            forgets,
            stoves: draws.one(&[1, 2, 8]),
            cooking_ms: draws.one(&[None, Some(0), Some(50), Some(400)]),
            clients: 2 + draws.below(4),
            requests: 4 + draws.below(12),
            opening: draws.one(&[0, 5, 40]),
            full_disks: draws.happens(400),
            replicas: draws.happens(400),
        }
    }
}
