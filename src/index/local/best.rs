//! The best of many, without ordering the rest.

/// Where a record is: segment and place.
pub type Spot = (u32, u32);

/// Keeps the spots with the highest keys, at most `limit` of them.
#[derive(Debug)]
pub struct Best {
    limit: usize,
    floor: f64,
    kept: Vec<(f64, Spot)>,
}

impl Best {
    /// Nothing yet.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), floor: f64::NEG_INFINITY, kept: Vec::new() }
    }

    /// Takes it, unless there are enough better ones.
    pub fn offer(&mut self, key: f64, spot: Spot) {
        if key > self.floor {
            self.kept.push((key, spot));
            if self.kept.len() >= 2 * self.limit {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        if self.kept.len() > self.limit {
            let order = |a: &(f64, Spot), b: &(f64, Spot)| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1));
            let (_, last, _) = self.kept.select_nth_unstable_by(self.limit - 1, order);
            self.floor = last.0;
            self.kept.truncate(self.limit);
        }
    }

    /// The best with their keys, in no order.
    #[must_use]
    pub fn kept(mut self) -> Vec<(f64, Spot)> {
        self.cut();
        self.kept
    }
}
