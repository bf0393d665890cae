//! What the process keeps of the index, as of a revision: codes and facets, no vectors.

use std::collections::HashMap;

use crate::config::Metric;
use crate::filter::Filter;
use crate::index::local::best::Best;
use crate::index::local::best::Spot;
use crate::index::local::code::Layout;
use crate::index::local::code::Prepared;
use crate::index::local::segment::Places;
use crate::index::local::segment::Segment;
use crate::store::local_records::Changed;
use crate::store::local_records::Clock;

/// How many times as many records pass the cheap estimate as may be scored.
const WIDER: usize = 4;

/// How a query narrows down what is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Narrowing {
    /// Up to so many records, all of them are scored.
    pub few: usize,
    /// How many are scored before the first look at what came out.
    pub first: usize,
    /// How many are scored at most, beside two for every match that is asked for; when that is not enough, the
    /// records are looked through again for the second number.
    pub most: [usize; 2],
}

impl Default for Narrowing {
    fn default() -> Self {
        Self { few: 1000, first: 100, most: [1000, 20_000] }
    }
}

impl Narrowing {
    /// How many records are looked for to be scored for `top_k` matches, at first and then.
    pub fn passes(self, top_k: usize) -> impl Iterator<Item = usize> {
        self.most.into_iter().map(move |most| top_k.saturating_mul(2).saturating_add(most))
    }
}

/// A record that is worth to be scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Its address.
    pub number: i64,
    /// What it scores at most, unless chance is against it.
    pub bound: f64,
}

/// Codes and facets as of a revision.
#[derive(Debug, Default)]
pub struct Memory {
    /// The last change that is in it.
    pub seen: (i64, i64),
    /// Numbers of a vector; 0 until it is known.
    pub dimension: i32,
    segments: Vec<Segment>,
    by_namespace: HashMap<String, u32>,
    by_number: HashMap<i64, Spot>,
}

impl Memory {
    /// How many records it knows.
    #[must_use]
    pub fn records(&self) -> usize {
        self.by_number.len()
    }

    /// Whether it is as the database was when it said `clock`.
    #[must_use]
    pub fn is_at(&self, clock: &Clock) -> bool {
        self.seen.0 == clock.rev && self.dimension == clock.dimension.unwrap_or(0)
    }

    /// Prepares for the changes up to `clock`; gives where to read on. Begins anew when the records have another
    /// dimension, when tombstones are gone that it has not seen, and when the database went back in time.
    pub fn begin(&mut self, clock: &Clock) -> (i64, i64) {
        let dimension = clock.dimension.unwrap_or(0);
        if dimension != self.dimension || clock.pruned > self.seen.0 || clock.rev < self.seen.0 {
            *self = Self { dimension, ..Self::default() };
        }
        self.seen
    }

    /// Takes in a change.
    pub fn apply(&mut self, change: &Changed) {
        let known = self.by_number.get(&change.number).copied();
        let Some((code, facets)) = &change.content else {
            if let Some(spot) = known {
                self.remove(change.number, spot);
            }
            return;
        };
        let segment = self.segment(&change.namespace);
        let Some(at) = self.segments.get_mut(segment as usize) else { return };
        match at.put(known.map(|(_, place)| place), change.number, code, facets) {
            Some(place) => {
                self.by_number.insert(change.number, (segment, place));
            }
            // A code of another dimension: the index is being filled anew, and so will this be.
            None => tracing::debug!(number = change.number, "a code does not fit"),
        }
    }

    fn segment(&mut self, namespace: &str) -> u32 {
        if let Some(&segment) = self.by_namespace.get(namespace) {
            return segment;
        }
        let segment = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        let layout = Layout::of(usize::try_from(self.dimension).unwrap_or(0));
        self.segments.push(Segment::new(namespace, layout));
        self.by_namespace.insert(namespace.to_owned(), segment);
        segment
    }

    fn remove(&mut self, number: i64, (segment, place): Spot) {
        self.by_number.remove(&number);
        if let Some(moved) = self.segments.get_mut(segment as usize).and_then(|segment| segment.swap_remove(place)) {
            self.by_number.insert(moved, (segment, place));
        }
    }

    /// At most `most` records that are worth to be scored for `query`, those with the highest bounds first: who
    /// scores them in this order may stop at a bound that is below enough scores. All of them where they are few.
    #[must_use]
    pub fn candidates(
        &self,
        namespace: Option<&str>,
        filter: Option<&Filter>,
        (metric, query): (Metric, &[f32]),
        (narrowing, most): (Narrowing, usize),
    ) -> Vec<Candidate> {
        let segments = (0u32..).zip(&self.segments);
        let segments = segments.filter(|(_, segment)| namespace.is_none_or(|name| segment.namespace == name));
        // Of the records, not of those that a filter leaves, which would all be read without need.
        let records: usize = segments.clone().map(|(_, segment)| segment.records()).sum();
        let selected: Vec<(u32, &Segment, Places)> =
            segments.map(|(at, segment)| (at, segment, segment.select(filter))).collect();
        let count: usize = selected.iter().map(|(_, _, places)| places.count()).sum();
        if records <= narrowing.few || count <= narrowing.first {
            let mut all = Vec::with_capacity(count);
            for (_, segment, places) in &selected {
                segment.all(places, |number| all.push(Candidate { number, bound: f64::INFINITY }));
            }
            return all;
        }
        let query = Prepared::new(metric, query);
        let two_steps = query.has_two_steps();
        let mut best = Best::new(if two_steps { most.saturating_mul(WIDER) } else { most });
        for (at, segment, places) in &selected {
            segment.scan(&query, places, *at, &mut best);
        }
        let segment = |at: u32| self.segments.get(at as usize);
        if two_steps {
            let quick = best.kept();
            best = Best::new(most);
            for (_, spot) in quick {
                if let Some(segment) = segment(spot.0) {
                    best.offer(segment.bound(&query, spot.1), spot);
                }
            }
        }
        let mut best = best.kept();
        best.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let candidate = |(bound, (at, place))| Some(Candidate { number: segment(at)?.number(place), bound });
        best.into_iter().filter_map(candidate).collect()
    }
}
