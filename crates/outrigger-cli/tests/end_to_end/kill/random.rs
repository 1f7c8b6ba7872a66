//! Chance that can be had again: all of it follows from one number, which a failing test says.

/// `SplitMix64`: short, and random enough for moments and choices.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// From `OUTRIGGER_SEED` where it is set, else from the time; says which.
    #[expect(clippy::print_stderr, reason = "whoever looks at a failure needs it")]
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("OUTRIGGER_SEED").ok().and_then(|text| text.parse().ok());
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let seed = given.unwrap_or_else(now);
        eprintln!("OUTRIGGER_SEED={seed} makes the same choices again");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// One of these; none of none.
    pub(crate) fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let place = usize::try_from(self.below(of.len().max(1) as u64)).unwrap();
        of.get(place).cloned()
    }

    /// Another source, so that each client has its own, whatever the others draw.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// Looks like a ULID: a correlation id, or what makes a request one of a kind.
    pub(crate) fn ulid(&mut self) -> String {
        const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let mut text = String::from("0");
        text.extend((0..25).map(|_| char::from(LETTERS[usize::try_from(self.below(32)).unwrap()])));
        text
    }
}
