//! Medians and percentiles of measured values. Knows nothing of what was measured.

/// The value at `quantile` (0.0 to 1.0) of the values, by the nearest-rank method; 0 of none.
pub(crate) fn quantile(values: &mut [f64], quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = (quantile.clamp(0.0, 1.0) * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// The median of the values; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(&mut values.to_vec(), 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut values = vec![5.0, 1.0, 4.0, 2.0, 3.0];
        for (at, expect) in [(0.0, 1.0), (0.2, 1.0), (0.5, 3.0), (0.99, 5.0), (1.0, 5.0)] {
            assert!((quantile(&mut values, at) - expect).abs() < f64::EPSILON, "quantile {at}");
        }
        assert!(median(&[]).abs() < f64::EPSILON);
    }
}
