//! Random numbers for tests.

/// Random numbers that are the same in every run, so that a failure can be repeated.
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Returns a number below this one.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
