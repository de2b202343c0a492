//! The fewest troubles that still break a promise.

/// Leaves out as much as it can, halves first, for as long as `breaks` says that what is left still breaks
/// something; it is asked at most `tries` times.
pub(super) fn fewest<T: Clone>(
    mut all: Vec<T>,
    mut tries: u32,
    mut breaks: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut size = all.len();
    while size > 0 {
        let mut at = 0;
        while at < all.len() && tries > 0 {
            let fewer: Vec<T> = [&all[..at], &all[all.len().min(at + size)..]].concat();
            tries -= 1;
            if breaks(&fewer) {
                all = fewer;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let mut asked = 0;
        let least = fewest((0..100).collect(), 1000, |left: &[u32]| {
            asked += 1;
            left.contains(&17) && left.contains(&93)
        });
        assert_eq!(least, [17, 93]);
        assert!(asked < 60, "{asked}");
        assert_eq!(fewest(vec![1, 2, 3], 1000, |_| true), Vec::<u32>::new());
        assert_eq!(fewest(vec![1, 2, 3], 0, |_| true), [1, 2, 3], "nobody was asked");
    }
}
