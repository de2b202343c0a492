//! Luck that can be had again: a number for every seed and place.

use std::time::Duration;

/// A sequence that its seed decides.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// The dice of one matter, apart from every other one.
    pub fn of(seed: u64, matter: u64) -> Dice {
        let mut dice = Dice(seed ^ matter.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    /// Splitmix64.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// From 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "luck")]
    pub fn fraction(&mut self) -> f64 {
        self.next() as f64 / u64::MAX as f64
    }

    /// Up to `most`, short ones far more often than long ones.
    pub fn wait(&mut self, most: Duration) -> Duration {
        most.mul_f64(self.fraction().powi(3))
    }

    /// How long something takes of which half takes no longer than `half_s`, and nine of ten no longer
    /// than `slow_s`, seconds: log-normal, at most ten times as long as half of them.
    pub fn duration_s(&mut self, half_s: f64, slow_s: f64) -> f64 {
        /// Of the standard normal distribution, nine of ten are below it.
        const NINE_OF_TEN: f64 = 1.2816;
        if half_s <= 0.0 {
            return 0.0;
        }
        // Irwin and Hall: the sum of twelve fractions is normal enough for this.
        let normal: f64 = (0..12).map(|_| self.fraction()).sum::<f64>() - 6.0;
        let spread = (slow_s / half_s).max(1.1).ln() / NINE_OF_TEN;
        half_s * (normal * spread).exp().min(10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_rolls_the_same_and_another_does_not() {
        let rolled = |seed, matter| {
            let mut dice = Dice::of(seed, matter);
            (0..8).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(rolled(7, 1), rolled(7, 1));
        assert_ne!(rolled(7, 1), rolled(8, 1));
        assert_ne!(rolled(7, 1), rolled(7, 2));
    }

    #[test]
    fn half_takes_no_longer_than_half_and_nine_of_ten_no_longer_than_slow() {
        let mut dice = Dice::of(1, 1);
        let mut all: Vec<f64> = (0..4000).map(|_| dice.duration_s(10.0, 25.0)).collect();
        all.sort_by(f64::total_cmp);
        assert!((9.0..11.0).contains(&all[2000]), "{}", all[2000]);
        assert!((22.0..28.0).contains(&all[3600]), "{}", all[3600]);
        assert_eq!(dice.duration_s(0.0, 5.0), 0.0);
    }
}
