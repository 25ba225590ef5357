//! The path of each request and the behaviour of its client, drawn from a seed.

pub(super) const KEYS: u64 = 6;

/// `SplitMix64`: small, and the same everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // The first outputs of neighbouring seeds are similar.
        let mut random = Self(seed);
        random.next();
        Self(random.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    /// A path of the server's: the layer, the handler, the key, the request.
    pub(super) fn path(&mut self, id: usize) -> String {
        let layer = self.one_of(&["hasty", "hasty", "crowded", "patient", "patient", "finishing", "caught"]);
        let handler = self.one_of(&["text", "text", "work", "work", "stream", "stream", "large", "panic"]);
        match self.below(50) {
            // Longer than a name may be.
            0 => format!("/{layer}/{handler}/{}/{id}", "x".repeat(600)),
            _ => format!("/{layer}/{handler}/key-{}/{id}", self.below(KEYS)),
        }
    }

    pub(super) fn conduct(&mut self) -> Conduct {
        match self.below(10) {
            0 => Conduct::CutsRequest,
            1 => Conduct::CutsAnswer,
            2 => Conduct::Leaves,
            3 => Conduct::ReadsSlowly,
            _ => Conduct::Stays,
        }
    }

    /// Lets others run for a while: some turns, or a little real time.
    pub(super) async fn dawdle(&mut self) {
        if self.below(4) == 0 {
            tokio::time::sleep(std::time::Duration::from_micros(self.below(3000))).await;
        } else {
            for _ in 0..self.below(20) {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// How a client behaves in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conduct {
    /// Reads its whole answer.
    Stays,
    /// Does so a few bytes at a time.
    ReadsSlowly,
    /// Is gone after a random byte of its request.
    CutsRequest,
    /// Is gone after a random byte of its answer.
    CutsAnswer,
    /// Is gone after a while, whatever has come by then.
    Leaves,
}
